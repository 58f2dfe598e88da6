//! Tables and plots of a record: a page in Markdown, and SVG files beside it.

mod axis;
mod compare;
mod failover;
mod plot;
mod plots;
mod table;
mod text;

use crate::record::Record;
use crate::work::BEDS;
use anyhow::{Context, Result};
use failover::Trace;
use std::path::{Path, PathBuf};

const PAGE: &str = "performance.md";
/// The plots' directory, beside the page.
const PLOTS: &str = "performance";
const BEGIN: &str = "<!-- figures: written by `drave-bench report` -->\n";
const END: &str = "<!-- /figures -->\n";

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Raw figures, as a run wrote them.
    file: PathBuf,
    /// Where performance.md goes, with a directory of plots; else into a directory named like FILE.
    #[arg(long)]
    into: Option<PathBuf>,
    /// What `benches/failover.py --trace` wrote; else failover.json beside FILE, if it is there.
    #[arg(long)]
    failover: Option<PathBuf>,
}

pub fn run(options: &Options) -> Result<()> {
    let record = Record::read(&options.file)?;
    let beside = options.file.with_file_name("failover.json");
    let trace = options.failover.clone().or_else(|| beside.exists().then_some(beside));
    let trace = trace.as_deref().map(Trace::read).transpose()?;
    let into = options.into.clone().unwrap_or_else(|| named_like(&options.file));
    write(&record, trace.as_ref(), &into)
}

/// The directory for what is made of `file`: its name without its extension.
fn named_like(file: &Path) -> PathBuf {
    file.with_extension(if file.extension().is_some() { "" } else { "report" })
}

/// Reports what has just been written to `file`.
pub fn of(file: &Path) -> Result<()> {
    run(&Options { file: file.into(), into: None, failover: None })
}

fn write(record: &Record, trace: Option<&Trace>, into: &Path) -> Result<()> {
    let images = plots::all(record, BEDS, trace)?;
    let text = text::all(record, BEDS, &images);
    let plots = into.join(PLOTS);
    std::fs::create_dir_all(&plots).with_context(|| format!("{} cannot be made", plots.display()))?;
    for image in &images {
        std::fs::write(plots.join(&image.file), &image.svg)?;
    }
    let page = into.join(PAGE);
    let before = page.exists().then(|| std::fs::read_to_string(&page)).transpose()?;
    let after = between_marks(before.as_deref(), &text)
        .with_context(|| format!("{} has no place for figures", page.display()))?;
    std::fs::write(&page, after).with_context(|| format!("{} cannot be written", page.display()))?;
    println!("{text}");
    eprintln!("written: {} and {} plots beside it", page.display(), images.len());
    Ok(())
}

/// The page with `text` as its figures; the page is a new one if there was none.
fn between_marks(page: Option<&str>, text: &str) -> Result<String> {
    let new = format!("# Performance\n\n{BEGIN}{END}");
    let (before, rest) = page.unwrap_or(&new).split_once(BEGIN).context("no mark where they begin")?;
    let (_, after) = rest.split_once(END).context("no mark where they end")?;
    Ok(format!("{before}{BEGIN}\n{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests;
