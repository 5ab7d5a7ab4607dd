//! The writers of a map's versions, each held once.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::env::WriterId;

/// Ids and names of writers, by a number that fits a version's few bytes. A writer is forgotten with its last version.
#[derive(Debug, Clone, Default)]
pub struct Writers {
    table: Vec<Writer>,
    /// Numbers in use, ascending by id and name.
    sorted: Vec<u32>,
    /// Numbers to be used again.
    free: Vec<u32>,
    /// The one that wrote last: it often writes next.
    last: u32,
}

#[derive(Debug, Clone)]
struct Writer {
    id: WriterId,
    name: Box<str>,
    versions: u64,
}

impl Writers {
    /// The number of a writer of one version more.
    pub fn hold(&mut self, id: WriterId, name: &str) -> u32 {
        let number = match self.table.get(self.last as usize) {
            Some(last) if last.versions > 0 && last.id == id && *last.name == *name => self.last,
            _ => self.find_or_insert(id, name),
        };
        self.last = number;
        self.table[number as usize].versions += 1;
        number
    }

    /// Where a writer stands among the sorted ones, or would.
    fn place_of(&self, id: WriterId, name: &str) -> Result<usize, usize> {
        self.sorted.binary_search_by(|number| {
            let writer = &self.table[*number as usize];
            (writer.id, &*writer.name).cmp(&(id, name))
        })
    }

    fn find_or_insert(&mut self, id: WriterId, name: &str) -> u32 {
        let place = match self.place_of(id, name) {
            Ok(found) => return self.sorted[found],
            Err(place) => place,
        };
        let writer = Writer {
            id,
            name: name.into(),
            versions: 0,
        };
        let number = if let Some(number) = self.free.pop() {
            self.table[number as usize] = writer;
            number
        } else {
            self.table.push(writer);
            u32::try_from(self.table.len() - 1).expect("a map has fewer than 2^32 versions")
        };
        self.sorted.insert(place, number);
        number
    }

    /// One version of a writer is gone.
    pub fn release(&mut self, number: u32) {
        let writer = &mut self.table[number as usize];
        writer.versions -= 1;
        if writer.versions > 0 {
            return;
        }
        let writer = &self.table[number as usize];
        let place = self.place_of(writer.id, &writer.name);
        self.sorted.remove(place.expect("a writer with versions has its place"));
        self.table[number as usize].name = Box::from("");
        self.free.push(number);
    }

    /// Id and name of a writer.
    pub fn get(&self, number: u32) -> (WriterId, &str) {
        let writer = &self.table[number as usize];
        (writer.id, &writer.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_held_once_and_forgotten_with_its_last_version() {
        let mut writers = Writers::default();
        let a = writers.hold(WriterId(1), "a");
        let b = writers.hold(WriterId(2), "b");
        let same_id = writers.hold(WriterId(1), "c");
        assert_eq!(writers.hold(WriterId(1), "a"), a);
        assert!(a != b && b != same_id && a != same_id);
        assert_eq!(writers.get(same_id), (WriterId(1), "c"));
        writers.release(a);
        assert_eq!(writers.get(a), (WriterId(1), "a"));
        writers.release(a);
        assert_eq!(writers.sorted.len(), 2);
        let d = writers.hold(WriterId(9), "d");
        assert_eq!((d, writers.get(d)), (a, (WriterId(9), "d")));
        writers.release(d);
        assert_eq!(writers.hold(WriterId(9), "d"), a, "though it was the last");
        assert_eq!(writers.table.len(), 3);
        assert_eq!((writers.free.len(), writers.sorted.len()), (0, 3));
    }

    /// Two devices of one name, or one that goes by two: the one that wrote last is told from the next by both.
    #[test]
    fn writers_that_follow_each_other_are_told_apart() {
        let mut writers = Writers::default();
        for (id, name) in [(1, "a"), (2, "a"), (2, "b"), (1, "b"), (1, "a")] {
            let number = writers.hold(WriterId(id), name);
            assert_eq!(writers.get(number), (WriterId(id), name));
        }
    }

    /// A writer without a name, forgotten, looks like the empty place that it left: it is entered anew all the same.
    #[test]
    fn a_nameless_writer_comes_back() {
        let mut writers = Writers::default();
        let gone = writers.hold(WriterId(1), "");
        writers.release(gone);
        let back = writers.hold(WriterId(1), "");
        let other = writers.hold(WriterId(2), "b");
        assert!(back != other);
        assert_eq!(writers.get(back), (WriterId(1), ""));
        assert_eq!(writers.hold(WriterId(1), ""), back);
    }
}
