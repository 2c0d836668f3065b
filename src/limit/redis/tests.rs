//! The script and the code of this process come to the same, at the server that `TEST_REDIS_URL` names.

use std::{
    cell::{Cell, RefCell},
    env, process,
};

use proptest::{prelude::*, sample::Index, test_runner::TestRunner};
use redis::Connection;

use super::script::{Call, Script, read};
use crate::{
    access::RateLimits,
    limit::{
        Subject,
        demand::{Demand, Names, Taken},
        gcra::{self, Left, Owed, Times},
    },
};

/// The time is given, and nothing expires by the clock of the server.
const BY_HAND: &str = "
local now = tonumber(ARGV[#ARGV])
local server = redis
local redis = { call = function(name, ...)
  if name ~= 'PEXPIRE' then return server.call(name, ...) end
end }
";

const LISTS: &[&str] = &[
    "1/1s",
    "10/1s;burst=3",
    "7/3s",
    "a=5/1s,b=12/1h",
    "a=12/1h,b=5/1s",
    "a=7/3s,b=100/1d;burst=3,c=1/30d",
    "a=2/1s,b=3/1m,c=4/1h,d=4294967295/1s",
    "1/1d;burst=366",
];

const START: u64 = 1_800_000_000_000_000;

/// `None` where there is no server, and then it says so.
#[expect(clippy::print_stderr, reason = "whoever runs the tests has to see it")]
fn server() -> Option<Connection> {
    let url = env::var("TEST_REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    match redis::Client::open(url).and_then(|client| client.get_connection()) {
        Ok(connection) => Some(connection),
        Err(error) => {
            assert!(
                env::var("CI").as_deref() != Ok("true"),
                "no Redis server: {error}"
            );
            eprintln!("SKIPPED: no Redis server ({error}); set TEST_REDIS_URL");
            None
        }
    }
}

fn limits(place: usize) -> RateLimits {
    LISTS[place].parse().expect("limits")
}

fn demand(name: &str, key: Option<usize>, owner: Option<usize>, uses: u32) -> Demand {
    Demand {
        key: key.map(|place| (Subject::Named(0), limits(place))),
        owner: owner.map(|place| (Subject::Owner(0), limits(place))),
        uses,
        names: Some(Box::new(Names {
            key: "key".to_owned(),
            owner: name.to_owned(),
        })),
    }
}

fn run(connection: &mut Connection, call: &Call, now: u64) -> Vec<u64> {
    let whole = call.script.text();
    let (_, body) = whole.split_once(" + time[2]\n").expect("the clock comes first");
    let mut eval = redis::cmd("EVAL");
    eval.arg(format!("{BY_HAND}{body}")).arg(call.keys.len());
    eval.arg(&call.keys).arg(&call.arguments).arg(now);
    eval.query(connection).expect("an answer")
}

/// As [`Limiter`](crate::limit::Limiter) counts: under all limits of both, or none.
fn take_here(key: &mut Owed, owner: &mut Owed, demand: &Demand, now: u64) -> (bool, Times, Times) {
    let one = |owed: &Owed, part: &Option<(Subject, RateLimits)>| match part {
        Some((_, limits)) => {
            let mut after = *owed;
            let times = gcra::take(&mut after, limits, demand.uses, now);
            (after, times)
        }
        None => (*owed, Ok(Times::default())),
    };
    let ((key_after, of_key), (owner_after, of_owner)) = (one(key, &demand.key), one(owner, &demand.owner));
    let fits = of_key.is_ok() && of_owner.is_ok();
    let left = |owed: &Owed, part: &Option<(Subject, RateLimits)>| {
        part.as_ref()
            .map_or_else(Times::default, |(_, limits)| owed.under(limits))
    };
    let (before_key, before_owner) = (left(key, &demand.key), left(owner, &demand.owner));
    if fits || of_key.is_err() {
        *key = key_after;
    }
    if fits || of_owner.is_err() {
        *owner = owner_after;
    }
    let times = |times: Result<Times, Times>, before: Times| match (fits, times) {
        (true, Ok(times)) | (false, Err(times)) => times,
        (_, _) => before,
    };
    (fits, times(of_key, before_key), times(of_owner, before_owner))
}

/// What clients are told of it.
fn told(taken: &Taken) -> Vec<(u32, u128, u128)> {
    let lefts = taken.lines().map(|line| line.left);
    let told = |left: Left| {
        let (reset, retry) = (left.reset.as_micros(), left.retry_after.as_micros());
        (left.remaining, reset, retry)
    };
    lefts.map(told).collect()
}

#[derive(Debug, Clone)]
enum Step {
    /// By one of two keys of an owner, under these lists.
    Take(Option<usize>, Option<usize>, u32),
    GiveBack(Index),
    /// So many microseconds, also backwards.
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let list = || prop_oneof![6 => Just(3), 2 => 0..LISTS.len()];
    let uses = prop_oneof![8 => 1..4_u32, 1 => 4..100_u32, 1 => Just(u32::MAX)];
    let take = (
        prop::option::weighted(0.9, list()),
        prop::option::of(list()),
        uses,
    );
    let wait = prop_oneof![
        4 => 0..1_000_000_i64,
        2 => Just(200_000_i64),
        2 => 0..10_000_000_i64,
        1 => 0..4_000_000_000_i64,
        1 => -4_000_000_000..0_i64,
        1 => 0..40_000_000_000_000_i64,
    ];
    prop_oneof![
        6 => take.prop_map(|(key, owner, uses)| Step::Take(key, owner, uses)),
        2 => any::<Index>().prop_map(Step::GiveBack),
        3 => wait.prop_map(Step::Wait),
    ]
}

#[test]
fn whatever_is_asked_and_given_back_the_server_comes_to_what_this_process_would() {
    let Some(connection) = server() else {
        return;
    };
    let connection = RefCell::new(connection);
    let [cases, let_in, refused, back] = [const { Cell::new(0) }; 4];
    let count = |counter: &Cell<u32>| counter.set(counter.get() + 1);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(300));
    let steps = prop::collection::vec(step(), 1..40);
    let done = runner.run(&steps, |steps| {
        let connection = &mut *connection.borrow_mut();
        count(&cases);
        let name = format!("script-{}-{}", process::id(), cases.get());
        let prefix = "api-key-test";
        let (mut key, mut owner, mut now) = (Owed::default(), Owed::default(), START);
        let mut under_way: Vec<Taken> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(micros) => now = now.saturating_add_signed(micros),
                Step::Take(None, None, _) => {}
                Step::Take(of_key, of_owner, uses) => {
                    let demand = demand(&name, of_key, of_owner, uses);
                    let call = Call::take(prefix, &demand).expect("somebody");
                    let answer = read(&demand, &run(connection, &call, now)).expect("an answer");
                    let (fits, of_key, of_owner) = take_here(&mut key, &mut owner, &demand, now);
                    prop_assert_eq!((answer.let_in, answer.now), (fits, now));
                    let there = Taken::new(demand.clone(), now, answer.key, answer.owner);
                    let here = Taken::new(demand, now, of_key, of_owner);
                    prop_assert_eq!(told(&there), told(&here));
                    match fits {
                        true => {
                            prop_assert_eq!((there.key, there.owner), (here.key, here.owner));
                            under_way.push(there);
                            count(&let_in);
                        }
                        false => count(&refused),
                    }
                }
                Step::GiveBack(which) if !under_way.is_empty() => {
                    let taken = under_way.swap_remove(which.index(under_way.len()));
                    let call = Call::give_back(prefix, &taken).expect("somebody");
                    run(connection, &call, now);
                    let parts = [
                        (&taken.demand.key, &taken.key, &mut key),
                        (&taken.demand.owner, &taken.owner, &mut owner),
                    ];
                    for (part, times, owed) in parts {
                        if let Some((_, limits)) = part {
                            gcra::give_back(owed, limits, taken.demand.uses, times, [taken.now, now]);
                        }
                    }
                    count(&back);
                }
                Step::GiveBack(_) => {}
            }
        }
        let both = demand(&name, Some(0), Some(0), 1);
        let used = Call::take(prefix, &both).expect("somebody").keys;
        redis::cmd("DEL").arg(used).exec(connection).expect("deleted");
        Ok(())
    });
    done.expect("they agree");
    let counts = [let_in, refused, back].map(Cell::into_inner);
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
}

#[test]
fn what_is_kept_goes_when_all_has_come_back_and_names_nobody() {
    let Some(mut connection) = server() else {
        return;
    };
    let name = format!("expires-{}", process::id());
    let thirty_days = LISTS.iter().position(|list| list.contains("1/30d")).expect("it");
    let demand = demand(&name, Some(thirty_days), Some(4), 1);
    let call = Call::take("api-key-test", &demand).expect("somebody");
    let tag = format!("{{api-key-test:{name}}}");
    assert_eq!(call.keys, [format!("{tag}:k:key"), format!("{tag}:o")]);
    let mut eval = redis::cmd("EVAL");
    eval.arg(Script::Take.text())
        .arg(2)
        .arg(&call.keys)
        .arg(&call.arguments);
    let answer: Vec<u64> = eval.query(&mut connection).expect("an answer");
    assert!(read(&demand, &answer).expect("an answer").let_in);
    let day = 24 * 60 * 60 * 1000;
    for (key, most) in call.keys.iter().zip([30 * day, 3600 * 1000 / 12]) {
        let ttl: u64 = redis::cmd("PTTL")
            .arg(key)
            .query(&mut connection)
            .expect("a time");
        assert!((most - 120_000..=most).contains(&ttl), "{key}: {ttl} of {most}");
    }
    redis::cmd("DEL")
        .arg(call.keys)
        .exec(&mut connection)
        .expect("deleted");
}

#[test]
fn what_is_no_answer_is_not_taken_for_one() {
    let demand = demand("nobody", Some(0), Some(0), 1);
    let whole = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    let answer = read(&demand, &whole).expect("an answer");
    assert_eq!((answer.let_in, answer.now), (true, 2));
    assert_eq!((answer.key, answer.owner), ([3, 4, 5, 6], [7, 8, 9, 10]));
    for length in 0..whole.len() {
        assert!(read(&demand, &whole[..length]).is_none(), "{length}");
    }
    assert!(read(&demand, &[&whole[..], &[11]].concat()).is_none());
}
