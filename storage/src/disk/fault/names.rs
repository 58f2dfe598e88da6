//! The names of the fault disk: a tree that programs see, a tree that the medium has, and the changes in between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};
use std::sync::Arc;

use crate::sync::Mutex;
use rustix::io::Errno;

use super::contents::Contents;
use super::rng::{Rng, mix};

pub(super) type Id = u64;
pub(super) type FileRef = Arc<Mutex<Contents>>;

const ROOT: Id = 0;

#[derive(Default)]
pub(super) struct Names {
    live: Tree,
    durable: Tree,
    pending: Vec<Change>,
    files: BTreeMap<Id, FileRef>,
    minted: Id,
}

/// Directories by id; an id that is not a file's is a directory's.
#[derive(Clone, Default)]
struct Tree(BTreeMap<Id, BTreeMap<String, Id>>);

/// A name that goes, a name that comes, or (a rename) both at once.
struct Change {
    gone: Option<(Id, String)>,
    come: Option<(Id, String, Id)>,
}

impl Change {
    fn dirs(&self) -> impl Iterator<Item = Id> + '_ {
        self.gone.iter().map(|(dir, _)| *dir).chain(self.come.iter().map(|(dir, ..)| *dir))
    }

    fn crosses(&self) -> bool {
        matches!((&self.gone, &self.come), (Some((from, _)), Some((to, ..))) if from != to)
    }
}

impl Tree {
    fn apply(&mut self, change: &Change) {
        let gone = change.gone.as_ref().map(|(dir, name)| self.dir(*dir).remove(name));
        if let (Some((dir, name, id)), true) = (&change.come, gone != Some(None)) {
            self.dir(*dir).insert(name.clone(), *id);
        }
    }

    fn dir(&mut self, id: Id) -> &mut BTreeMap<String, Id> {
        self.0.entry(id).or_default()
    }

    fn get(&self, dir: Id, name: &str) -> Option<Id> {
        self.0.get(&dir)?.get(name).copied()
    }

    /// What names of this tree lead to, the root included.
    fn reachable(&self, from: Id, into: &mut BTreeSet<Id>) {
        if into.insert(from) {
            self.0.get(&from).into_iter().flat_map(BTreeMap::values).for_each(|id| self.reachable(*id, into));
        }
    }
}

impl Names {
    /// The id behind `path`.
    pub(super) fn find(&self, path: &Path) -> Result<Id, Errno> {
        parts(path)?.iter().try_fold(ROOT, |dir, name| {
            if self.files.contains_key(&dir) {
                return Err(Errno::NOTDIR);
            }
            self.live.get(dir, name).ok_or(Errno::NOENT)
        })
    }

    pub(super) fn file(&self, path: &Path) -> Result<FileRef, Errno> {
        let id = self.find(path)?;
        self.files.get(&id).cloned().ok_or(Errno::ISDIR)
    }

    pub(super) fn create_file(&mut self, path: &Path) -> Result<FileRef, Errno> {
        let (dir, name) = self.place(path)?;
        let id = self.link(dir, name);
        Ok(self.files.entry(id).or_default().clone())
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> Result<(), Errno> {
        let mut dir = ROOT;
        for name in parts(path)? {
            dir = match self.live.get(dir, &name) {
                Some(found) if self.files.contains_key(&found) => return Err(Errno::EXIST),
                Some(found) => found,
                None => self.link(dir, name),
            };
        }
        Ok(())
    }

    /// Names, and lengths of files or `None` for directories.
    pub(super) fn list(&self, dir: &Path) -> Result<Vec<(String, Option<u64>)>, Errno> {
        let id = self.dir(dir)?;
        let len = |id: &Id| self.files.get(id).map(|file| file.lock().live.len() as u64);
        Ok(self.live.0.get(&id).into_iter().flatten().map(|(name, id)| (name.clone(), len(id))).collect())
    }

    /// Returns the file that `to` named before, if any.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<Option<FileRef>, Errno> {
        let (id, old) = (self.find(from)?, self.find(to).ok());
        let (gone, (dir, name)) = (self.place(from)?, self.place(to)?);
        if let Some(old) = old.filter(|old| *old != id) {
            self.replaceable(id, old)?;
        }
        self.change(Change { gone: Some(gone), come: Some((dir, name, id)) });
        Ok(old.filter(|old| *old != id).and_then(|old| self.files.get(&old).cloned()))
    }

    /// Removes one name after the other, the deepest first, and returns the files that they were.
    pub(super) fn remove(&mut self, path: &Path) -> Result<Vec<FileRef>, Errno> {
        let (id, (dir, name)) = (self.find(path)?, self.place(path)?);
        let mut files = Vec::new();
        self.empty(id, &mut files);
        self.change(Change { gone: Some((dir, name)), come: None });
        files.extend(self.files.get(&id).cloned());
        Ok(files)
    }

    /// The names in `dir` reach the medium; with a rename to or from elsewhere all that was changed before it.
    pub(super) fn sync_dir(&mut self, dir: &Path) -> Result<(), Errno> {
        let id = self.dir(dir)?;
        let involved = |change: &Change| change.dirs().any(|dir| dir == id);
        let whole = self.pending.iter().rposition(|change| change.crosses() && involved(change));
        let (mut left, mut freed) = (Vec::new(), false);
        for (time, change) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            if whole.is_some_and(|whole| time <= whole) || involved(&change) {
                self.durable.apply(&change);
                freed |= change.gone.is_some();
            } else {
                left.push(change);
            }
        }
        self.pending = left;
        if freed {
            self.sweep();
        }
        Ok(())
    }

    /// As after a failed fsync on Linux: some of the names in `dir` reached the medium, the others never will, though
    /// programs still see them.
    pub(super) fn fail_sync_dir(&mut self, dir: &Path, rng: &mut Rng) {
        let Ok(id) = self.dir(dir) else { return };
        let (lost, left) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition::<Vec<_>, _>(|change| change.dirs().any(|dir| dir == id));
        self.pending = left;
        let kept = rng.below(lost.len() + 1);
        lost.iter().take(kept).for_each(|change| self.durable.apply(change));
    }

    /// Power was lost. Either a journal kept a prefix of all changes, or each directory a prefix of its own.
    pub(super) fn crash(&mut self, rng: &mut Rng) {
        let (seed, changes) = (rng.next_u64(), self.pending.len());
        let journal = (rng.below(2) == 0).then(|| rng.below(changes + 1));
        let kept = |dir: Id| {
            let dice = mix(seed ^ mix(dir));
            let own = [0, changes, (dice >> 8) as usize % (changes + 1)][dice as usize % 3];
            journal.unwrap_or(own)
        };
        for (time, change) in std::mem::take(&mut self.pending).iter().enumerate() {
            if change.dirs().all(|dir| time < kept(dir)) {
                self.durable.apply(change);
            }
        }
        self.live = self.durable.clone();
        self.sweep();
        self.files.values().for_each(|file| file.lock().crash(rng));
    }

    /// Bytes of all files that have a name.
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.lock()).filter(|f| !f.unlinked).map(|f| f.live.len() as u64).sum()
    }

    fn dir(&self, path: &Path) -> Result<Id, Errno> {
        let id = self.find(path)?;
        if self.files.contains_key(&id) { Err(Errno::NOTDIR) } else { Ok(id) }
    }

    /// The directory that holds or would hold `path`, and its name there.
    fn place(&self, path: &Path) -> Result<(Id, String), Errno> {
        let name = parts(path)?.pop().ok_or(Errno::INVAL)?;
        Ok((self.dir(path.parent().ok_or(Errno::INVAL)?)?, name))
    }

    fn link(&mut self, dir: Id, name: String) -> Id {
        self.minted += 1;
        self.change(Change { gone: None, come: Some((dir, name, self.minted)) });
        self.minted
    }

    fn change(&mut self, change: Change) {
        self.live.apply(&change);
        self.pending.push(change);
    }

    fn empty(&mut self, dir: Id, files: &mut Vec<FileRef>) {
        let children: Vec<_> = self.live.0.get(&dir).cloned().into_iter().flatten().collect();
        for (name, id) in children {
            self.empty(id, files);
            files.extend(self.files.get(&id).cloned());
            self.change(Change { gone: Some((dir, name)), come: None });
        }
    }

    fn replaceable(&self, new: Id, old: Id) -> Result<(), Errno> {
        match (self.files.contains_key(&new), self.files.contains_key(&old)) {
            (true, true) => Ok(()),
            (true, false) => Err(Errno::ISDIR),
            (false, true) => Err(Errno::NOTDIR),
            (false, false) if self.live.0.get(&old).is_none_or(BTreeMap::is_empty) => Ok(()),
            (false, false) => Err(Errno::NOTEMPTY),
        }
    }

    /// Frees what no name leads to, on the medium or before it.
    fn sweep(&mut self) {
        let mut used = BTreeSet::new();
        self.live.reachable(ROOT, &mut used);
        let mut durable = BTreeSet::new();
        self.durable.reachable(ROOT, &mut durable);
        used.append(&mut durable);
        used.extend(self.pending.iter().flat_map(|change| change.come.iter().map(|(.., id)| *id)));
        used.extend(self.pending.iter().flat_map(Change::dirs));
        self.files.retain(|id, _| used.contains(id));
        self.live.0.retain(|id, _| used.contains(id));
        self.durable.0.retain(|id, _| used.contains(id));
    }
}

fn parts(path: &Path) -> Result<Vec<String>, Errno> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_str().map(str::to_owned).ok_or(Errno::ILSEQ)),
        Component::ParentDir => Some(Err(Errno::INVAL)),
        _ => None,
    };
    path.components().filter_map(name).collect()
}
