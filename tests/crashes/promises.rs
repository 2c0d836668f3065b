//! All that the killed servers have answered.

use std::{slice::SliceIndex, time::Duration};

use crate::{
    place::Place,
    storm::{Fate, Held, Told},
    support::{
        http::{Connection, request},
        server::{Server, Setup},
    },
};

#[derive(Debug, Default)]
pub(crate) struct Promises {
    held: Vec<Held>,
    kills: usize,
    mints: usize,
    rotations: usize,
    revokes: usize,
    unanswered_mints: usize,
    unanswered_rotations: usize,
    unanswered_revokes: usize,
}

impl Promises {
    /// Gives where those begin that were made before this kill.
    pub(crate) fn note(&mut self, told: Vec<Told>) -> usize {
        let fresh = self.held.len();
        self.kills += 1;
        for told in told {
            self.mints += told.mints;
            self.rotations += told.rotations;
            self.revokes += told.revokes;
            self.unanswered_mints += told.unanswered_mints;
            self.unanswered_rotations += told.unanswered_rotations;
            self.unanswered_revokes += told.unanswered_revokes;
            self.held.extend(told.held);
        }
        fresh
    }

    pub(crate) fn assert_kept(&self, server: &Server, which: impl SliceIndex<[Held], Output = [Held]>) {
        let mut connection = Connection::open(server.address);
        for Held { id, key, fate, .. } in &self.held[which] {
            let bearer = format!("Authorization: Bearer {key}");
            connection.send(&request("GET", "/api/v1/whoami", &[&bearer]));
            let answer = connection.receive(false);
            match (fate, answer.status) {
                (Fate::Works, _) => assert_eq!(answer.status, 200, "{id}: {answer:?}"),
                (Fate::Revoked, _) => answer.assert_problem(401, "key-revoked"),
                (Fate::Expired, _) => answer.assert_problem(401, "key-expired"),
                (Fate::Either, status) => assert!([200, 401].contains(&status), "{id}: {answer:?}"),
            }
        }
    }

    /// Says what there was, once all of it has held.
    pub(crate) fn print(&self, place: &Place, setup: &Setup, took: Duration) {
        let count = |statement| place.count(setup, statement);
        let rows = count("SELECT count(*) FROM api_keys");
        let rotated = count("SELECT count(*) FROM api_keys WHERE rotated_to IS NOT NULL");
        let revoked = count("SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL");
        let events = count("SELECT count(*) FROM api_key_events");
        let more = |rows: i64, answered: usize| {
            let more = usize::try_from(rows)
                .ok()
                .and_then(|rows| rows.checked_sub(answered));
            more.expect("no fewer than were answered")
        };
        let rotations = more(rotated, self.rotations);
        let mints = more(rows, self.mints + self.rotations) - rotations;
        let revokes = more(revoked, self.revokes);
        assert!(mints <= self.unanswered_mints, "{mints} mints nobody asked for");
        assert!(
            rotations <= self.unanswered_rotations,
            "{rotations} rotations nobody asked for"
        );
        assert!(
            revokes <= self.unanswered_revokes,
            "{revokes} revokes nobody asked for"
        );
        let works = self.held.iter().filter(|held| held.fate == Fate::Works).count();
        #[expect(clippy::print_stderr, reason = "figures for whoever asks for them")]
        {
            eprintln!(
                "{}: {} kills in {:.1} s; answered: {} mints, {} rotations, {} revokes ({works} keys work on); \
                 unanswered: {} mints ({mints} done), {} rotations ({rotations} done), {} revokes ({revokes} done); \
                 {rows} rows, {events} events",
                place.name(),
                self.kills,
                took.as_secs_f64(),
                self.mints,
                self.rotations,
                self.revokes,
                self.unanswered_mints,
                self.unanswered_rotations,
                self.unanswered_revokes,
            );
        }
    }
}
