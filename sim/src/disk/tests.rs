use super::*;

fn disk() -> VirtualDisk {
    VirtualDisk::new(DiskProfile::default(), SeededRng::from_u64(1))
}

fn entry(number: u64) -> Option<(u64, Bytes)> {
    Some((number, Bytes::from(vec![number as u8; 10])))
}

fn drain(disk: &mut VirtualDisk) -> Vec<Answer> {
    std::iter::from_fn(|| disk.poll(u64::MAX / 2)).collect()
}

fn outcomes(answers: &[Answer]) -> Vec<(u64, bool)> {
    let outcome = |answer: &Answer| match answer {
        Answer::Committed(ticket, result) => (ticket.0, result.is_ok()),
        Answer::Applied(ticket, result) => (ticket.0, result.is_ok()),
        Answer::Fetched(ticket, result) => (ticket.0, result.is_ok()),
    };
    answers.iter().map(outcome).collect()
}

#[test]
fn commits_that_wait_for_one_sync_share_the_next() {
    let mut disk = disk();
    for number in 1..=5 {
        disk.commit(0, Ticket(number), entry(number));
    }
    let first_us = disk.next_at_us().unwrap();
    assert_eq!(disk.poll(first_us - 1), None);
    assert_eq!(outcomes(&[disk.poll(first_us).unwrap()]), [(1, true)]);
    assert_eq!(disk.last_durable(), 1);
    assert_eq!(
        outcomes(&drain(&mut disk)),
        [(2, true), (3, true), (4, true), (5, true)]
    );
}

#[test]
fn a_barrier_waits_for_those_before_it_and_for_no_sync_of_its_own() {
    let mut disk = disk();
    disk.commit(0, Ticket(1), None);
    assert_eq!(outcomes(&[disk.poll(0).unwrap()]), [(1, true)]);
    disk.commit(0, Ticket(2), entry(1));
    disk.commit(0, Ticket(3), None);
    assert_eq!(disk.poll(0), None);
    let synced_us = disk.next_at_us().unwrap();
    assert_eq!(
        outcomes(&[disk.poll(synced_us).unwrap(), disk.poll(synced_us).unwrap()]),
        [(2, true), (3, true)]
    );
}

#[test]
fn a_crash_leaves_a_prefix() {
    let mut survivors = [0; 4];
    for seed in 0..100 {
        let mut disk = VirtualDisk::new(DiskProfile::default(), SeededRng::from_u64(seed));
        disk.commit(0, Ticket(1), entry(1));
        let at_us = disk.next_at_us().unwrap();
        assert!(disk.poll(at_us).is_some());
        disk.commit(at_us, Ticket(2), entry(2));
        disk.commit(at_us, Ticket(3), entry(3));
        disk.crash(at_us);
        assert!(disk.log().keys().copied().eq(1..=disk.last_durable()));
        survivors[disk.last_durable() as usize] += 1;
        assert!(drain(&mut disk).is_empty());
    }
    assert_eq!(survivors[0], 0, "what was synced stays");
    assert_eq!(survivors[3], 0, "what was only queued is lost");
    assert!(survivors[1] > 20 && survivors[2] > 20, "{survivors:?}");
}

#[test]
fn after_a_failure_everything_fails_until_recovery() {
    let mut disk = disk();
    disk.commit(0, Ticket(1), entry(1));
    drain(&mut disk);
    disk.fail_next_commit();
    disk.commit(0, Ticket(2), entry(2));
    disk.commit(0, Ticket(3), entry(3));
    disk.apply(
        0,
        Apply {
            ticket: Ticket(4),
            upto: 1,
            puts: vec![],
            deletes: vec![],
        },
    );
    let answers = drain(&mut disk);
    assert!(
        outcomes(&answers)
            .iter()
            .filter(|(ticket, _)| *ticket != 4)
            .all(|(_, ok)| !ok),
        "{answers:?}"
    );
    disk.commit(0, Ticket(5), entry(9));
    assert_eq!(outcomes(&drain(&mut disk)), [(5, false)]);
    disk.fetch(0, Ticket(6), Fetch::Recover);
    let Some(Answer::Fetched(
        _,
        Ok(Fetched::Recovered {
            log: Some((1, last)), ..
        }),
    )) = disk.poll(1 << 40)
    else {
        panic!("no recovery");
    };
    disk.commit(0, Ticket(7), entry(last + 1));
    assert_eq!(outcomes(&drain(&mut disk)), [(7, true)]);
    assert_eq!(disk.take_misuse(), None);
}

#[test]
fn a_full_disk_says_so_ahead_and_then_refuses() {
    let profile = DiskProfile {
        log_bytes: 25,
        ..DiskProfile::default()
    };
    let mut disk = VirtualDisk::new(profile, SeededRng::from_u64(1));
    disk.commit(0, Ticket(1), entry(1));
    assert_eq!(drain(&mut disk), [Answer::Committed(Ticket(1), Ok(Room { bytes: 15 }))]);
    disk.commit(0, Ticket(2), entry(2));
    drain(&mut disk);
    disk.commit(0, Ticket(3), entry(3));
    assert_eq!(
        drain(&mut disk),
        [Answer::Committed(Ticket(3), Err(StorageError::Full))]
    );
    assert_eq!(disk.last_durable(), 2);
}

#[test]
fn a_machine_that_breaks_the_rules_of_storage_is_named() {
    let mut gap = disk();
    gap.commit(0, Ticket(1), entry(2));
    assert_eq!(gap.take_misuse().unwrap(), "log entry 2 was appended where 1 was due");
    let mut early = disk();
    early.cut(1);
    assert_eq!(
        early.take_misuse().unwrap(),
        "the log was cut at 1, and the records hold only up to 0"
    );
    let mut ahead = disk();
    ahead.apply(
        0,
        Apply {
            ticket: Ticket(1),
            upto: 3,
            puts: vec![],
            deletes: vec![],
        },
    );
    assert_eq!(ahead.take_misuse().unwrap(), "applied up to 3, and the log ends at 0");
}

#[test]
fn a_cut_log_goes_on_where_it_was_and_reads_come_in_chunks() {
    let mut disk = disk();
    for number in 1..=4 {
        disk.commit(0, Ticket(number), entry(number));
    }
    drain(&mut disk);
    let puts = (0..4)
        .map(|key| (Bytes::from(vec![key]), Bytes::from(vec![0; 9])))
        .collect();
    disk.apply(
        0,
        Apply {
            ticket: Ticket(5),
            upto: 4,
            puts,
            deletes: vec![],
        },
    );
    drain(&mut disk);
    disk.cut(4);
    assert_eq!((disk.log().len(), disk.last_durable()), (0, 4));
    disk.commit(0, Ticket(6), entry(5));
    drain(&mut disk);
    assert_eq!(disk.take_misuse(), None);

    let (mut after, mut chunks) = (None, vec![]);
    loop {
        disk.fetch(
            0,
            Ticket(7),
            Fetch::Records {
                after: after.clone(),
                limit_bytes: 11,
            },
        );
        let Some(Answer::Fetched(_, Ok(Fetched::Records { rows, done }))) = disk.poll(1 << 40) else {
            panic!("no rows");
        };
        after = rows.last().map(|(key, _)| key.clone());
        chunks.push(rows.len());
        if done {
            break;
        }
    }
    assert_eq!(chunks, [2, 2]);
}

#[test]
fn a_healed_disk_takes_commits_and_applies_again() {
    let mut disk = disk();
    disk.set_full(true);
    disk.set_slow(1_000);
    disk.fail_next_commit();
    disk.fail_next_apply();
    disk.heal();
    disk.commit(0, Ticket(1), entry(1));
    let slow_us = disk.next_at_us().unwrap();
    assert_eq!(outcomes(&drain(&mut disk)), [(1, true)]);
    let mut fresh = self::disk();
    fresh.commit(0, Ticket(1), entry(1));
    assert_eq!(slow_us, fresh.next_at_us().unwrap());
}
