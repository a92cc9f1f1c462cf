//! Any tree of records gives a plan whose every step finds what it needs, or a refusal; never a panic, never a hang.

use crate::{
    grow::{Deed, grow},
    model,
};
use floe_plan::plan;
use floe_records::*;
use floe_tests::tree::machine;
use proptest::prelude::*;
use serde_json::Value;

fn deeds(most: usize) -> impl Strategy<Value = Vec<Deed>> {
    proptest::collection::vec(any::<Deed>(), 0..most)
}

/// How a record is damaged: which, how, which part of it, and with what.
type Damage = (u16, u8, u16, u64);

/// Plans a tree; a plan is played.
fn planned(tree: &Tree) -> Result<bool, String> {
    match plan(tree, &machine()) {
        Ok(plan) => model::play(tree, &plan.steps).map(|()| true),
        Err(no) if no.0.is_empty() => Err("a refusal without a reason".into()),
        Err(_) => Ok(false),
    }
}

/// Some; PROPTEST_CASES may ask for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|many| many.parse().ok()).unwrap_or(150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// What can come about by itself is planned, but where a session's or a group's members are not born in it.
    #[test]
    fn grown_trees(deeds in deeds(80)) {
        let tree = grow(&deeds).tree();
        match plan(&tree, &machine()) {
            Ok(plan) => model::play(&tree, &plan.steps).map_err(TestCaseError::fail)?,
            Err(no) => {
                let known = |rule: &str| ["plan.session", "plan.group"].contains(&rule);
                prop_assert!(no.0.iter().all(|finding| known(&finding.rule)), "{no}");
            }
        }
    }

    /// Records that were changed, dropped, doubled or moved.
    #[test]
    fn damaged_trees(
        deeds in deeds(40),
        damages in proptest::collection::vec(any::<Damage>(), 1..5),
    ) {
        let mut records = grow(&deeds).records();
        damages.iter().for_each(|damage| harm(&mut records, *damage));
        let mut tree = Tree::default();
        for record in records {
            // Two of one key are damage that the reader tells.
            let _ = tree.insert(record);
        }
        planned(&tree).map_err(TestCaseError::fail)?;
    }
}

/// Most of what grows is planned: the property above is no empty one.
#[test]
fn most_trees_have_a_plan() {
    let mut seed = 7u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (mut yes, mut damaged) = (0, 0);
    for _ in 0..200 {
        let deeds: Vec<Deed> =
            (0..30).map(|_| (random() as u8, random() as u16, random() as u16)).collect();
        yes += u32::from(planned(&grow(&deeds).tree()).expect("a plan that can be played"));
        let mut records = grow(&deeds).records();
        harm(&mut records, (random() as u16, random() as u8, random() as u16, random()));
        let mut tree = Tree::default();
        let whole = records.into_iter().all(|record| tree.insert(record).is_ok());
        damaged += u32::from(whole && planned(&tree).expect("a plan that can be played"));
    }
    println!("of 200 trees {yes} have a plan, and {damaged} have one although they were changed");
    assert!(yes > 100, "only {yes} of 200 trees have a plan");
    assert!(damaged < yes, "no damage is ever refused");
}

fn harm(records: &mut Vec<AnyRecord>, (which, how, part, with): Damage) {
    let at = usize::from(which) % records.len();
    match how % 8 {
        0 => drop(records.remove(at)),
        1 => records.push(records[at].clone()),
        2 => {
            let record = records.remove(at);
            records.insert(usize::from(part) % (records.len() + 1), record);
        }
        _ => {
            let mut value = records[at].visit(ToValue);
            let mut parts = count(&value);
            if parts > 0 {
                parts = usize::from(part) % parts;
                change(&mut value, &mut parts, with);
            }
            // What no record can be is damage that the reader tells.
            if let Ok(record) = AnyRecord::make(records[at].kind(), FromValue(value)) {
                records[at] = record;
            }
        }
    }
}

struct ToValue;
impl Visitor for ToValue {
    type Output = Value;
    fn visit<T: Record>(self, record: &T) -> Value {
        serde_json::to_value(record).expect("a record has a form")
    }
}

struct FromValue(Value);
impl Maker for FromValue {
    type Error = serde_json::Error;
    fn make<T: Record>(self) -> Result<T, Self::Error> {
        serde_json::from_value(self.0)
    }
}

/// Parts of a value that can be changed.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(all) => 1 + all.iter().map(count).sum::<usize>(),
        Value::Object(all) => all.values().map(count).sum(),
        _ => 1,
    }
}

/// Changes the part of this number.
fn change(value: &mut Value, part: &mut usize, with: u64) -> bool {
    let own = !matches!(value, Value::Object(_));
    if own && *part == 0 {
        *value = other(value, with);
        return true;
    }
    *part -= usize::from(own);
    match value {
        Value::Array(all) => all.iter_mut().any(|value| change(value, part, with)),
        Value::Object(all) => all.values_mut().any(|value| change(value, part, with)),
        _ => false,
    }
}

fn other(value: &Value, with: u64) -> Value {
    match value {
        Value::Number(was) => {
            let was = was.as_u64().unwrap_or(0);
            let near = 100 + with / 16 % 40;
            let all = [0, 1, was.wrapping_add(1), was.wrapping_sub(1), near, near, u64::MAX, with];
            let small =
                [u64::from(u32::MAX), 4_194_304, was ^ (1 << (with / 16 % 32)), was * 2 % 4096];
            let all = [all, [small, small].concat().try_into().expect("eight")].concat();
            Value::from(all[with as usize % all.len()])
        }
        Value::Bool(was) => Value::from(!was),
        Value::Array(was) if was.is_empty() => Value::from(vec![with % 256]),
        Value::Array(was) => match with % 3 {
            0 => Value::from(&was[..was.len() - 1]),
            1 => Value::from([&was[..], &was[..1]].concat()),
            _ => Value::Array(Vec::new()),
        },
        Value::String(_) => Value::from(["Zombie", "Anon", "File", "x", "/"][with as usize % 5]),
        Value::Null => Value::from(with % 200),
        Value::Object(_) => Value::Null,
    }
}
