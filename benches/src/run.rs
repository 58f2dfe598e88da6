//! A run: everything in turn, with its progress shown, and the raw figures written down.

use crate::Options;
use crate::record::{Found, Machine, Record, Round};
use crate::report;
use crate::system::{Kind, Programs, System, kafka_home};
use crate::work::{BEDS, Bed, Run, Scale, Work, warm_up};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

pub fn run(options: &Options) -> Result<()> {
    let programs = programs(options)?;
    let mut scale = if options.quick { Scale::QUICK } else { Scale::FULL };
    scale.rounds = options.rounds.unwrap_or(scale.rounds);
    let mut record = Record { machine: machine(&programs), quick: options.quick, rounds: vec![] };
    let begun = Instant::now();
    for bed in BEDS {
        let works: Vec<&Work> = bed.works.iter().filter(|work| is_wanted(work, &options.only)).collect();
        if !works.is_empty() {
            in_bed(bed, &works, &programs, &scale, &mut record.rounds)?;
            write(&record, &options.out)?;
        }
    }
    ensure!(!record.rounds.is_empty(), "no work is named like {}", options.only.join(", "));
    eprintln!("done after {:.0?}; raw figures: {}", begun.elapsed(), options.out.display());
    report::of(&options.out)
}

fn is_wanted(work: &Work, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|start| work.id.starts_with(start.as_str()))
}

/// All systems through all of a bed's work, round by round, A B C A B C.
fn in_bed(
    bed: &Bed,
    works: &[&Work],
    programs: &Programs,
    scale: &Scale,
    rounds: &mut Vec<Round>,
) -> Result<()> {
    eprintln!("{}", bed.title);
    let is_shared = works.iter().any(|work| matches!(work.run, Run::Shared(_)));
    let systems = if is_shared { started(bed, programs, scale)? } else { vec![] };
    let kinds = kinds(programs);
    for work in works {
        eprintln!("  {}", work.title);
        // What is done alone takes long, and varies little.
        let count = if matches!(work.run, Run::Alone(_)) { scale.rounds.min(1) } else { scale.rounds };
        for round in 0..count {
            for (nth, kind) in kinds.iter().enumerate() {
                let found = match work.run {
                    Run::Shared(run) => run(&systems[nth], scale, round).map(Some),
                    Run::Alone(run) => run(programs, kind, scale),
                };
                let found = found.with_context(|| format!("{}, {}", kind.name(), work.title))?;
                rounds.extend(found.map(|found| noted(work, kind, round, found)));
            }
        }
    }
    Ok(())
}

fn started(bed: &Bed, programs: &Programs, scale: &Scale) -> Result<Vec<System>> {
    let start = |kind: &Kind| System::start(kind, programs, &bed.setup());
    let systems = kinds(programs).iter().map(start).collect::<Result<Vec<_>>>()?;
    for system in &systems {
        warm_up(system, scale).with_context(|| format!("{} in its warm-up", system.kind.name()))?;
    }
    Ok(systems)
}

/// Shows a round's figures and makes a record of them.
fn noted(work: &Work, kind: &Kind, round: usize, found: Found) -> Round {
    let name = kind.name();
    let figure = |column: &&str| Some(format!("{column} {:.1}", found.figures.get(*column)?));
    let shown: Vec<String> = work.columns.iter().filter_map(figure).collect();
    eprintln!("    {round} {name:<13} {}", shown.join("  "));
    Round {
        work: work.id.into(),
        system: name.into(),
        round,
        figures: found.figures,
        latency: found.latency,
        memory: found.memory,
    }
}

fn kinds(programs: &Programs) -> Vec<Kind> {
    let other =
        |(name, address): &(String, String)| Kind::Other { name: name.clone(), address: address.clone() };
    let kafka = programs.kafka.is_some().then_some(Kind::Kafka);
    [Kind::Floor, Kind::Drave].into_iter().chain(kafka).chain(programs.others.iter().map(other)).collect()
}

fn programs(options: &Options) -> Result<Programs> {
    std::fs::create_dir_all(&options.scratch)?;
    let kafka = options.kafka.clone().or_else(kafka_home);
    match &kafka {
        Some(home) => ensure!(home.join("bin").is_dir(), "{} holds no Apache Kafka", home.display()),
        None => eprintln!("Apache Kafka is left out: DRAVE_KAFKA_HOME does not name one"),
    }
    Ok(Programs {
        drave: options.drave.clone().map_or_else(build, Ok)?,
        kafka: kafka.map(|home| home.canonicalize()).transpose()?,
        others: options.also.clone(),
        scratch: options.scratch.canonicalize()?,
    })
}

/// Builds Drave as it is released, and says where it is.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo).args(["build", "--release", "--package", "drave"]).status();
    ensure!(
        built.context("cargo cannot be run: name a binary with --drave")?.success(),
        "Drave does not build"
    );
    let own = std::env::current_exe()?;
    let beside = own.parent().and_then(Path::parent).context("no target directory")?.join("release/drave");
    ensure!(beside.exists(), "no {}: name a binary with --drave", beside.display());
    Ok(beside)
}

fn write(record: &Record, out: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(record)?;
    std::fs::write(out, text).with_context(|| format!("{} cannot be written", out.display()))
}

fn machine(programs: &Programs) -> Machine {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let kib = memory.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
    Machine {
        cpu: field(&read("/proc/cpuinfo"), "model name"),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        memory_mib: kib.unwrap_or(0) / 1024,
        kernel: read("/proc/sys/kernel/osrelease").trim().into(),
        day: output(Command::new("date").args(["-u", "+%F"])),
        versions: versions(programs),
    }
}

fn versions(programs: &Programs) -> std::collections::BTreeMap<String, String> {
    let drave = output(Command::new(&programs.drave).arg("--version"));
    let kafka = programs.kafka.as_deref().and_then(kafka_version);
    let kafka = kafka.map(|version| (Kind::Kafka.name().to_owned(), version));
    [(Kind::Drave.name().to_owned(), drave)].into_iter().chain(kafka).collect()
}

/// The version that Kafka's libraries bear in their names.
fn kafka_version(home: &Path) -> Option<String> {
    let names = std::fs::read_dir(home.join("libs"))
        .ok()?
        .filter_map(|file| file.ok()?.file_name().into_string().ok());
    names
        .filter_map(|name| Some(name.strip_prefix("kafka-clients-")?.strip_suffix(".jar")?.to_owned()))
        .next()
}

fn output(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().into()
}
