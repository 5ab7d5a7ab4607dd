//! A tag for each partition: `{tag}key` lies there whatever `key` is, in our clusters and, slot for slot, in those of Redis.

use kernel::partition::{PartitionId, partition_of_key, routing_part, slot};

/// For each partition, in their order, the first of the numbers, in braces, that lies there. All have five digits.
pub fn of_partitions() -> Vec<String> {
    let mut tags: Vec<Option<String>> = PartitionId::all().map(|_| None).collect();
    let mut left = tags.len();
    let tried = (10_000..100_000).map(|number: u32| format!("{{{number}}}"));
    for tag in tried {
        let at = &mut tags[partition_of_key(tag.as_bytes(), None).index()];
        if at.is_none() {
            *at = Some(tag);
            left -= 1;
        }
        if left == 0 {
            break;
        }
    }
    tags.into_iter().flatten().collect()
}

/// The slot of a tag.
pub fn slot_of(tag: &str) -> u16 {
    slot(routing_part(tag.as_bytes(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_a_tag_and_what_follows_a_tag_changes_nothing() {
        let tags = of_partitions();
        assert_eq!(tags.len(), PartitionId::all().count());
        for (at, tag) in tags.iter().enumerate() {
            assert_eq!(partition_of_key(format!("{tag}key").as_bytes(), None).index(), at);
        }
    }
}
