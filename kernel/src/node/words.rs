//! What other nodes say about the cluster, and on behalf of their clients.

use crate::env::{ConnId, Now};
use crate::hlc::Stamp;
use crate::node::Node;
use crate::session::Floor;
use crate::wire::cluster::Word;

impl Node {
    /// Takes a word of a linked node. `false`: it makes no sense.
    pub(super) fn heard_word(&mut self, conn: ConnId, body: &[u8], now: Now) -> bool {
        let (Some(node), Some(word)) = (self.peers.node_at(conn), Word::decode(body)) else {
            return false;
        };
        match word {
            Word::Register(message) => self.register_message(node, message, now),
            Word::Gossip(gossip) => self.gossip(node, &gossip, now),
            Word::Filled(moves) => self.filled(node, &moves, now),
            Word::Pull { most, wanted } => return self.pulled(conn, most, &wanted),
            Word::Parts(parts) => self.take_parts(node, &parts, now),
            Word::Emptied => self.is_emptied(node, now),
            Word::Covered(partitions) => self.covered(conn, &partitions),
            Word::Stands { version, confirms } => self.stands(node, version, confirms, now),
            Word::Same { clean, partitions } => {
                let begun_us = self.peers.link(conn).map_or(0, |link| link.round_begun_us);
                self.is_level(conn, partitions.iter().copied(), begun_us);
                self.compared(Some(node), partitions.into_iter(), clean);
            }
            Word::Level {
                asked_us,
                skipped,
                epoch,
            } => self.level_told(conn, asked_us, skipped, epoch, now),
            Word::Propose {
                request,
                epoch,
                key,
                ballot,
                value,
            } => self.proposed(conn, request, epoch, key, ballot, value),
            Word::Voted { request, ballot, vote } => self.voted(node, request, ballot, vote, now),
            Word::Taken(numbers) => self.waits.writes.confirmed(node, &numbers),
            Word::Ask {
                request,
                epoch,
                floor,
                frame,
            } => {
                let floor = floor.map(|(stamp, gone)| Floor {
                    stamp: Stamp::from_bytes(stamp),
                    gone,
                });
                self.asked(conn, request, epoch, floor, frame, now)
            }
            Word::Answer { request, reply } => self.node_answered(node, request, reply, now),
            Word::Read { request, epoch, key } => self.tell_held(conn, request, epoch, key),
            Word::Held { request, record } => self.held(node, request, record, now),
            Word::Watch(watch) => self.watched(conn, &watch),
            Word::Rows(rows) => self.rows_came(conn, rows, now),
            Word::Told { request, number, rows } => self.source_told(conn, request, number, &rows, now),
            Word::Upto(list) => self.told_upto(conn, &list, now),
            Word::Heard(list) => self.heard_upto(conn, &list),
            Word::Unwatch(requests) => self.unwatched(conn, &requests),
            Word::SetBack => self.set_back(conn, now),
            Word::Ended { request, refusal } => self.source_ended(conn, request, refusal, now),
        }
        true
    }
}
