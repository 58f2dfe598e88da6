//! A run: everything in turn, with its progress shown, and the raw figures written down after each piece of work.

use crate::Options;
use crate::record::{Found, Machine, Record, Round};
use crate::report;
use crate::system::{Kind, Programs, System, kafka_home};
use crate::work::{BEDS, Bed, Run, Scale, Work, warm_up};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

pub fn run(options: &Options) -> Result<()> {
    let known: Vec<&str> = BEDS.iter().flat_map(|bed| bed.works).map(|work| work.id).collect();
    let strange = options.only.iter().find(|start| !known.iter().any(|id| id.starts_with(start.as_str())));
    if let Some(strange) = strange {
        bail!("no work is named like {strange}: there are {}", known.join(", "));
    }
    let programs = programs(options)?;
    let mut scale = if options.quick { Scale::QUICK } else { Scale::FULL };
    scale.rounds = options.rounds.unwrap_or(scale.rounds);
    let out = options.out();
    let mut record = Record { machine: machine(&programs), quick: options.quick, rounds: vec![] };
    if options.keep {
        record.rounds = others(&out, &record, &options.only)?;
    }
    let mut session = Session { programs, scale, record, out };
    let begun = Instant::now();
    for bed in BEDS {
        let works: Vec<&Work> = bed.works.iter().filter(|work| is_wanted(work, &options.only)).collect();
        if !works.is_empty() {
            session.in_bed(bed, &works)?;
        }
    }
    let out = &session.out;
    eprintln!("done after {:.0?}; raw figures: {}", begun.elapsed(), out.display());
    report::of(out)?;
    let failed = session.record.rounds.iter().filter(|round| round.failed.is_some()).count();
    ensure!(failed == 0, "{failed} of {} rounds failed", session.record.rounds.len());
    Ok(())
}

fn is_wanted(work: &Work, only: &[String]) -> bool {
    is_named(work.id, only)
}

fn is_named(id: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|start| id.starts_with(start.as_str()))
}

/// What a run before found of other work than `only`, if its figures stand beside those of `now`.
fn others(out: &Path, now: &Record, only: &[String]) -> Result<Vec<Round>> {
    let before = Record::read(out)?;
    ensure!(
        before.quick == now.quick && before.machine.is_like(&now.machine),
        "{} is of another machine, other versions or another scale: run without --keep",
        out.display()
    );
    Ok(before.rounds.into_iter().filter(|round| !is_named(&round.work, only)).collect())
}

/// A run, and what it has found so far.
struct Session {
    programs: Programs,
    scale: Scale,
    record: Record,
    out: PathBuf,
}

impl Session {
    /// All systems through all of a bed's work, round by round. What fails is noted, and the rest goes on.
    fn in_bed(&mut self, bed: &Bed, works: &[&Work]) -> Result<()> {
        eprintln!("{}", bed.title);
        let works = self.possible(works);
        let kinds = self.taking_part(bed);
        let start = |kind| started(kind, bed, &self.programs, &self.scale);
        let is_shared = works.iter().any(|work| !matches!(work.run, Run::Alone(_) | Run::Confined(_)));
        let systems: Vec<Result<System>> = if is_shared { kinds.iter().map(start).collect() } else { vec![] };
        for work in works {
            eprintln!("  {}", work.title);
            for round in 0..work.rounds(&self.scale) {
                for nth in in_turn(kinds.len(), round) {
                    let found = match work.run {
                        Run::Shared(run) | Run::Client(_, run) => {
                            running(&systems[nth]).and_then(|system| run(system, &self.scale, round))
                        }
                        Run::Alone(run) | Run::Confined(run) => run(&self.programs, &kinds[nth], &self.scale),
                    };
                    self.record.rounds.push(noted(work, &kinds[nth], round, found));
                }
            }
            write(&self.record, &self.out)?;
        }
        Ok(())
    }

    /// The work that can be done here.
    fn possible<'a>(&self, works: &[&'a Work]) -> Vec<&'a Work> {
        let is_possible = |work: &&Work| {
            let lacking = work.lacks(&self.programs);
            lacking.iter().for_each(|why| eprintln!("  {} is left out: {why}", work.title));
            lacking.is_none()
        };
        works.iter().copied().filter(is_possible).collect()
    }

    fn taking_part(&self, bed: &Bed) -> Vec<Kind> {
        let (taking_part, left_out): (Vec<Kind>, Vec<Kind>) =
            kinds(&self.programs).into_iter().partition(|kind| bed.takes(kind));
        for kind in left_out.iter().filter(|kind| matches!(kind, Kind::Other { .. })) {
            eprintln!("  {} is left out: this is of brokers that are started for it", kind.name());
        }
        taking_part
    }
}

/// Who comes when in a round: A B C, then B C A. Whoever is first meets what the round before left, and in turn that is all.
fn in_turn(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |nth| (round + nth) % count)
}

fn started(kind: &Kind, bed: &Bed, programs: &Programs, scale: &Scale) -> Result<System> {
    let system = System::start(kind, programs, &bed.setup())?;
    warm_up(&system, scale).context("in its warm-up")?;
    Ok(system)
}

/// One that did not start fails in all that it was started for.
fn running(system: &Result<System>) -> Result<&System> {
    system.as_ref().map_err(|error| anyhow!("{error:#}"))
}

/// Shows a round's figures and makes a record of them, or of what went wrong.
fn noted(work: &Work, kind: &Kind, round: usize, found: Result<Found>) -> Round {
    let name = kind.name();
    let (found, failed) = match found {
        Ok(found) => (found, None),
        Err(error) => (Found::default(), Some(format!("{error:#}"))),
    };
    let figure = |column: &&str| Some(format!("{column} {:.1}", found.figures.get(*column)?));
    let shown: Vec<String> = work.columns.iter().filter_map(figure).collect();
    let shown = failed.as_ref().map_or(shown.join("  "), |why| format!("FAILED: {why}"));
    eprintln!("    {round} {name:<13} {shown}");
    Round {
        work: work.id.into(),
        system: name.into(),
        round,
        figures: found.figures,
        latency: found.latency,
        memory: found.memory,
        failed,
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
        kcat: on_path("kcat"),
        others: options.also.clone(),
        scratch: options.scratch.canonicalize()?,
    })
}

/// Where the shell would find a program.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
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
    // Whoever interrupts this leaves what was there.
    let new = out.with_extension("new");
    let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, out));
    written.with_context(|| format!("{} cannot be written", out.display()))
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
    let librdkafka = programs.kcat.as_deref().and_then(librdkafka_version);
    let librdkafka = librdkafka.map(|version| ("librdkafka".to_owned(), version));
    [(Kind::Drave.name().to_owned(), drave)].into_iter().chain(kafka).chain(librdkafka).collect()
}

/// What kcat says that it was built with.
fn librdkafka_version(kcat: &Path) -> Option<String> {
    let said = output(Command::new(kcat).arg("-V"));
    Some(said.split_once("librdkafka ")?.1.split_whitespace().next()?.to_owned())
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
