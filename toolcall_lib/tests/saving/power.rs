//! Cuts the power after every system call with which a run changes something: only data that was
//! synced to the disk is left.

use super::faults::{Scene, assert_no_mixture, assert_users_files_are_there};
use super::program::{Place, lasting, said};
use super::tree;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A system call of the log of `faults.c`.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: String,
    from: String,
    to: String,
    offset: usize,
    bytes: Vec<u8>,
}

/// The calls of a log.
pub fn calls(mut log: &[u8]) -> Vec<Call> {
    let mut calls = Vec::new();
    while let Some(end) = log.iter().position(|&byte| byte == b'\n') {
        let line = std::str::from_utf8(&log[..end]).unwrap();
        let [name, from, to, offset, count] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        log = &log[end + 1..];
        let count = if name == "write" {
            count.parse().unwrap()
        } else {
            0
        };
        calls.push(Call {
            name: name.to_string(),
            from: from.to_string(),
            to: to.to_string(),
            offset: offset.parse().unwrap(),
            bytes: log[..count].to_vec(),
        });
        log = &log[count..];
    }
    calls
}

/// Fate of changed names that no `fsync` has written to the disk.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Names {
    /// They are lost, and so are removals of old names.
    Lost,
    /// They are kept, before the bytes that belong to them: files are empty.
    Kept,
}

/// A file or a folder, by number; the first is the root.
type Id = usize;

/// An entry of a file system, as it is in memory and as it is on the disk.
#[derive(Clone, Default)]
struct Node {
    is_folder: bool,
    now: Content,
    disk: Content,
}

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    names: BTreeMap<String, Id>,
}

/// A change of names that is not on the disk: in these folders, this name is now this.
struct Change(Vec<(Id, String, Option<Id>)>);

/// A file system below one folder.
struct Disk {
    names: Names,
    root: String,
    nodes: Vec<Node>,
    changes: Vec<Change>,
}

impl Disk {
    /// Reads `folder`; all of it counts as synced.
    fn of(folder: &Path, names: Names) -> Self {
        let root = folder.to_str().unwrap().to_string();
        let mut disk = Self {
            names,
            root,
            nodes: vec![folder_node()],
            changes: Vec::new(),
        };
        disk.add(folder, 0);
        disk
    }

    fn add(&mut self, folder: &Path, id: Id) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            if path.is_symlink() {
                continue; // the program neither makes nor follows links
            }
            let new = self.nodes.len();
            self.nodes.push(if path.is_dir() {
                folder_node()
            } else {
                Node::default()
            });
            if path.is_dir() {
                self.add(&path, new);
            } else {
                let bytes = fs::read(&path).unwrap();
                self.nodes[new].now.bytes = bytes.clone();
                self.nodes[new].disk.bytes = bytes;
            }
            self.nodes[id].now.names.insert(name.clone(), new);
            self.nodes[id].disk.names.insert(name, new);
        }
    }

    /// The folder and the name in it that a path means; none for the root, and where there is no
    /// such folder.
    fn place(&self, path: &str) -> Option<(Id, String)> {
        let below = path.strip_prefix(&self.root)?.strip_prefix('/')?;
        let (folders, name) = below.rsplit_once('/').unwrap_or(("", below));
        let mut id = 0;
        for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
            id = *self.nodes[id].now.names.get(folder)?;
        }
        Some((id, name.to_string()))
    }

    fn find(&self, path: &str) -> Option<Id> {
        if path == self.root {
            return Some(0);
        }
        let (folder, name) = self.place(path)?;
        self.nodes[folder].now.names.get(&name).copied()
    }

    fn change(&mut self, change: Vec<(Id, String, Option<Id>)>) {
        apply(&change, &mut self.nodes, |node| &mut node.now);
        match self.names {
            Names::Kept => apply(&change, &mut self.nodes, |node| &mut node.disk),
            Names::Lost => self.changes.push(Change(change)),
        }
    }

    fn call(&mut self, call: &Call) {
        let here = |disk: &Self| disk.place(&call.from).unwrap();
        match call.name.as_str() {
            "open" => match self.find(&call.from) {
                Some(id) if call.to == "truncate" => self.nodes[id].now.bytes.clear(),
                Some(_) => {}
                None => self.create(here(self), Node::default()),
            },
            "mkdir" => {
                // it may fail; then a folder above is made first
                if let (None, Some(place)) = (self.find(&call.from), self.place(&call.from)) {
                    self.create(place, folder_node());
                }
            }
            "write" => {
                let id = self.find(&call.from).unwrap();
                let bytes = &mut self.nodes[id].now.bytes;
                bytes.resize(bytes.len().max(call.offset + call.bytes.len()), 0);
                bytes[call.offset..][..call.bytes.len()].copy_from_slice(&call.bytes);
            }
            "ftruncate" => {
                let id = self.find(&call.from).unwrap();
                self.nodes[id].now.bytes.resize(call.offset, 0);
            }
            "fsync" => self.sync(&call.from),
            "unlink" | "rmdir" => {
                let (folder, name) = here(self);
                let is_empty = self
                    .find(&call.from)
                    .is_some_and(|id| self.nodes[id].now.names.is_empty());
                if is_empty {
                    self.change(vec![(folder, name, None)]);
                }
            }
            "rename" => {
                let id = self.find(&call.from);
                let ((from, old), (to, new)) = (here(self), self.place(&call.to).unwrap());
                if id.is_some() {
                    self.change(vec![(from, old, None), (to, new, id)]);
                }
            }
            "exchange" => {
                let (a, b) = (self.find(&call.from), self.find(&call.to));
                let ((from, old), (to, new)) = (here(self), self.place(&call.to).unwrap());
                self.change(vec![(from, old, b), (to, new, a)]);
            }
            "chmod" | "fchmod" => {}
            other => panic!("{other} is not known"),
        }
    }

    fn create(&mut self, (folder, name): (Id, String), node: Node) {
        self.nodes.push(node);
        let id = self.nodes.len() - 1;
        self.change(vec![(folder, name, Some(id))]);
    }

    /// Syncs a file's bytes, or all changes of names in a folder; both sides of a change in two
    /// folders.
    fn sync(&mut self, path: &str) {
        let Some(id) = self.find(path) else { return };
        if !self.nodes[id].is_folder {
            self.nodes[id].disk.bytes = self.nodes[id].now.bytes.clone();
            return;
        }
        let (due, rest): (Vec<Change>, Vec<Change>) = std::mem::take(&mut self.changes)
            .into_iter()
            .partition(|change| change.0.iter().any(|part| part.0 == id));
        self.changes = rest;
        for change in due {
            apply(&change.0, &mut self.nodes, |node| &mut node.disk);
        }
    }

    /// Writes what is on the disk to `folder`.
    fn restore(&self, folder: &Path) {
        self.restore_folder(0, folder);
    }

    fn restore_folder(&self, id: Id, folder: &Path) {
        for (name, &id) in &self.nodes[id].disk.names {
            let path = folder.join(name);
            if self.nodes[id].is_folder {
                fs::create_dir_all(&path).unwrap();
                self.restore_folder(id, &path);
            } else {
                fs::write(&path, &self.nodes[id].disk.bytes).unwrap();
            }
        }
    }
}

fn folder_node() -> Node {
    Node {
        is_folder: true,
        ..Node::default()
    }
}

fn apply(change: &[(Id, String, Option<Id>)], nodes: &mut [Node], of: impl Fn(&mut Node) -> &mut Content) {
    for (folder, name, id) in change {
        let names = &mut of(&mut nodes[*folder]).names;
        match id {
            Some(id) => drop(names.insert(name.clone(), *id)),
            None => drop(names.remove(name)),
        }
    }
}

/// Cuts the power after every call of a run, and runs again.
fn cut(scene: &Scene) {
    let prepared = scene.place();
    let before = tree(&prepared.out());
    let (done, log) = scene.logged();
    let want = lasting(&done.area());
    let root = done.area().canonicalize().unwrap();
    let mut seen = BTreeSet::new();
    for names in [Names::Lost, Names::Kept] {
        let mut disk = Disk::of(&prepared.area(), names);
        disk.root = root.to_str().unwrap().to_string();
        for (number, call) in log.iter().enumerate() {
            disk.call(call);
            let place = Place::new();
            disk.restore(&place.area());
            scene.add_links(&place.out(), &before);
            let left = tree(&place.area());
            if !seen.insert(left.clone()) {
                continue;
            }
            let what = format!(
                "power cut after call {number} ({}), names are {names:?}",
                call.name
            );
            assert_users_files_are_there(&what, &place.out(), &before);
            assert_no_mixture(&what, &place.out(), &before, &want);
            let again = scene.run_again(&place);
            assert!(again.status.success(), "{what}: {}", said(&again));
            let end = lasting(&place.area());
            let others: Vec<&String> = end
                .keys()
                .filter(|path| end.get(*path) != want.get(*path))
                .collect();
            assert!(
                others.is_empty() && end.len() == want.len(),
                "{what}: {others:?}: {}",
                said(&again)
            );
        }
    }
    println!("{} states of the disk", seen.len());
}

#[test]
fn into_a_new_folder() {
    cut(&Scene::new_folder());
}

#[test]
fn over_a_model() {
    cut(&Scene::over_a_model());
}

#[test]
fn with_checkpoints() {
    cut(&Scene::with_checkpoints());
}
