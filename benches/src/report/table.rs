//! Tables and numbers as they are read in Markdown and in a terminal alike.

use super::compare::Spread;
use std::fmt::{self, Display};

/// A Markdown table whose columns are as wide as what they hold.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<T: Display>(header: impl IntoIterator<Item = T>) -> Table {
        let mut table = Table { rows: vec![] };
        table.push(header);
        table
    }

    pub fn push<T: Display>(&mut self, row: impl IntoIterator<Item = T>) {
        self.rows.push(row.into_iter().map(|cell| cell.to_string()).collect());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.rows[0].len()).map(|column| self.width(column)).collect();
        for (number, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                widths.iter().try_for_each(|width| write!(f, "|{}", "-".repeat(width + 2)))?;
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// Three digits that count, or all before the point.
pub fn number(value: f64) -> String {
    with_decimals(value, decimals(value))
}

fn decimals(value: f64) -> usize {
    let magnitude = if value == 0.0 { 2 } else { value.abs().log10().floor() as i32 };
    (2 - magnitude).clamp(0, 5) as usize
}

fn with_decimals(value: f64, decimals: usize) -> String {
    grouped(&format!("{value:.decimals$}"))
}

/// All digits that are there.
pub fn rounded(value: f64) -> String {
    grouped(&format!("{}", (value * 1e6).round() / 1e6))
}

/// Thousands are set apart.
fn grouped(text: &str) -> String {
    let whole = text.find('.').unwrap_or(text.len());
    let mut grouped = String::new();
    for (at, c) in text.char_indices() {
        let follows_digit = grouped.ends_with(|before: char| before.is_ascii_digit());
        if at < whole && follows_digit && (whole - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(c);
    }
    grouped
}

/// The median, and the spread if there is one, as exactly.
pub fn spread(spread: Option<Spread>) -> String {
    let Some(Spread { median, least, most }) = spread else { return "–".into() };
    let [median, least, most] = [median, least, most].map(|value| with_decimals(value, decimals(median)));
    if least == most { median } else { format!("{median} ({least}–{most})") }
}

/// A factor as it is said: 1.5, or 1/3.
pub fn factor(times: f64) -> String {
    let inverse = 1.0 / times;
    let is_whole = |value: f64| (value - value.round()).abs() < 1e-9;
    match () {
        () if is_whole(times * 100.0) => format!("{times}"),
        () if is_whole(inverse) => format!("1/{inverse:.0}"),
        () => number(times),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let cases = [
            (0.0, "0"),
            (0.00123, "0.00123"),
            (0.0576, "0.0576"),
            (0.5, "0.500"),
            (1.234, "1.23"),
            (45.67, "45.7"),
            (456.7, "457"),
            (9999.6, "10,000"),
            (123_456.0, "123,456"),
            (1_234_567.8, "1,234,568"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn factors_are_said_shortly() {
        let cases = [(1.5, "1.5"), (4.0, "4"), (0.25, "0.25"), (1.0 / 3.0, "1/3"), (1.0 / 6.0, "1/6")];
        for (times, expected) in cases {
            assert_eq!(factor(times), expected);
        }
    }

    #[test]
    fn a_spread_is_left_out_where_there_is_none() {
        let one = Spread { median: 2.0, least: 2.0, most: 2.0 };
        let wide = Spread { least: 1.5, most: 12.0, ..one };
        let cases = [(None, "–"), (Some(one), "2.00"), (Some(wide), "2.00 (1.50–12.00)")];
        for (values, expected) in cases {
            assert_eq!(spread(values), expected);
        }
    }
}
