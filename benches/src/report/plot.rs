//! One plot, as SVG that needs neither a font nor a page around it.

use super::axis::Axis;
use anyhow::Result;
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::element::{Cross, PathElement, Text, TriangleMarker};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub struct Plot {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
    /// Whether points are marked: where they are few.
    pub marked: bool,
    /// Something that happens at a place of the horizontal axis.
    pub event: Option<(f64, String)>,
}

pub struct Line {
    /// The system's.
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

const SIZE: (u32, u32) = (860, 430);
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(222, 222, 222);
/// Pixels between two names, one below the other.
const LINE_HEIGHT: i32 = 17;

impl Plot {
    pub fn svg(self) -> Result<String> {
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            root.fill(&WHITE)?;
            self.draw(&root)?;
            root.present()?;
        }
        Ok(svg)
    }

    fn draw(self, root: &Area<'_>) -> Result<()> {
        let titles = (self.x.title().to_owned(), self.y.title().to_owned());
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .margin_top(46)
            .margin_right(120)
            .x_label_area_size(48)
            .y_label_area_size(78)
            .build_cartesian_2d(self.x, self.y)?;
        grid(&mut chart, &titles)?;
        let centre = Pos::new(HPos::Center, VPos::Center);
        let title = (FONT, 18).into_font().color(&INK).pos(centre);
        root.draw(&Text::new(self.title.clone(), (SIZE.0 as i32 / 2, 22), title))?;
        if let Some((at, what)) = &self.event {
            event(&mut chart, root, *at, what)?;
        }
        for line in &self.lines {
            draw_line(&mut chart, line, self.marked)?;
        }
        name_lines(&chart, root, &self.lines)
    }
}

fn grid(chart: &mut Chart<'_, '_>, (x, y): &(String, String)) -> Result<()> {
    let text = |size: u32| (FONT, size).into_font().color(&INK);
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(text(13))
        .axis_desc_style(text(14))
        .draw()?;
    Ok(())
}

/// A vertical line, and what it stands for at its upper end.
fn event(chart: &mut Chart<'_, '_>, root: &Area<'_>, at: f64, what: &str) -> Result<()> {
    let vertical = chart.y_range();
    let line = PathElement::new(vec![(at, vertical.start), (at, vertical.end)], INK.stroke_width(1));
    chart.draw_series([line])?;
    let (x, y) = chart.backend_coord(&(at, vertical.end));
    root.draw(&Text::new(what.to_owned(), (x + 5, y + 4), (FONT, 13).into_font().color(&INK)))?;
    Ok(())
}

fn draw_line(chart: &mut Chart<'_, '_>, line: &Line, marked: bool) -> Result<()> {
    let color = color(&line.name);
    chart.draw_series([PathElement::new(line.points.clone(), color.stroke_width(2))])?;
    let points = line.points.iter().copied().filter(|_| marked);
    match line.name.as_str() {
        "Floor" => chart.draw_series(points.map(|at| Cross::new(at, 4, color.stroke_width(2)))).map(drop)?,
        "Drave" => chart.draw_series(points.map(|at| Circle::new(at, 4, color.filled()))).map(drop)?,
        _ => chart.draw_series(points.map(|at| TriangleMarker::new(at, 6, color.filled()))).map(drop)?,
    }
    Ok(())
}

/// Writes each name at its line's end, below the one above if they would touch.
fn name_lines(chart: &Chart<'_, '_>, root: &Area<'_>, lines: &[Line]) -> Result<()> {
    let right = chart.plotting_area().get_pixel_range().0.end;
    let end = |line: &Line| line.points.last().map(|end| chart.backend_coord(end).1);
    let mut names: Vec<(i32, &str)> =
        lines.iter().filter_map(|line| Some((end(line)?, &*line.name))).collect();
    names.sort();
    let mut free = i32::MIN;
    for (end, name) in names {
        let y = end.max(free);
        free = y + LINE_HEIGHT;
        let style = (FONT, 14).into_font().color(&color(name)).pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(name.to_owned(), (right + 9, y), style))?;
    }
    Ok(())
}

/// Colours that also those tell apart who see few of them (Okabe and Ito's), dark enough for letters on white.
fn color(name: &str) -> RGBColor {
    match name {
        "Floor" => RGBColor(110, 110, 110),
        "Drave" => RGBColor(0, 114, 178),
        "Apache Kafka" => RGBColor(213, 94, 0),
        _ => RGBColor(0, 130, 95),
    }
}
