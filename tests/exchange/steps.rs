//! Steps of a sequence, and how they are drawn.

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any},
    prop_oneof,
};

use crate::model::{Asked, BRIEF, DEPLOY, Trust};

const MOST_STEPS: usize = 50;

/// Which token or key is meant is a number that is taken modulo how many there are.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The issuer makes a token, good from then, and for so long.
    Make {
        trust: Option<&'static Trust>,
        from: i64,
        life: u64,
    },
    Bring {
        which: usize,
        text: usize,
        asked: Asked,
    },
    Advance(u64),
    Mint(usize),
    RotateByItself(usize),
    Rotate(usize),
    /// By so many seconds.
    Lengthen(usize, u64),
    Widen(usize),
    GiveUp(usize),
    Revoke(usize),
    Prune,
}

/// One that was made just before, more often than any other.
fn index() -> impl Strategy<Value = usize> {
    prop_oneof![Just(usize::MAX), any::<u8>().prop_map(usize::from)]
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let trust = prop_oneof![
        3 => Just(Some(&DEPLOY)),
        4 => Just(Some(&BRIEF)),
        1 => Just(None),
    ];
    let from = prop_oneof![8 => Just(0), 1 => Just(-400), 1 => Just(20), 1 => Just(31), 1 => Just(100)];
    let life = prop_oneof![Just(60_u64), Just(300), Just(3600)];
    let make = (trust, from, life).prop_map(|(trust, from, life)| Step::Make { trust, from, life });
    let asked = prop_oneof![
        6 => Just(Asked::All),
        1 => Just(Asked::Less),
        1 => Just(Asked::More),
        1 => Just(Asked::Elsewhere),
    ];
    let bring =
        (index(), 0..2_usize, asked).prop_map(|(which, text, asked)| Step::Bring { which, text, asked });
    // To a second before, at, and after what counts here.
    let moment = prop_oneof![Just(1), Just(29), Just(30), Just(59), Just(60), Just(61)];
    let long = prop_oneof![Just(329), Just(330), Just(540), Just(600), Just(3601), Just(7300)];
    let advance = prop_oneof![3 => moment, 1 => long].prop_map(Step::Advance);
    // Beyond what a key may last, or within it.
    let by = prop_oneof![Just(1_u64), Just(1000)];
    let step = prop_oneof![
        10 => make,
        14 => bring,
        4 => advance,
        1 => index().prop_map(Step::Mint),
        1 => index().prop_map(Step::RotateByItself),
        1 => index().prop_map(Step::Rotate),
        1 => (index(), by).prop_map(|(which, by)| Step::Lengthen(which, by)),
        1 => index().prop_map(Step::Widen),
        1 => index().prop_map(Step::GiveUp),
        1 => index().prop_map(Step::Revoke),
        1 => Just(Step::Prune),
    ];
    vec(step, 1..MOST_STEPS)
}
