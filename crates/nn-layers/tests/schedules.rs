//! Schedules compared with PyTorch's, and what they refuse.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use nn_layers::{Anneal, Error, OneCycle, Phase, Policy, Schedule, TrainError, WarmUp};
use proptest::prelude::*;
use testkit::Golden;

fn schedule(policy: Policy) -> Schedule {
    Schedule {
        policy,
        ..Schedule::constant(0.3)
    }
}

/// Returns the policy that the script has under this name.
fn policy(name: &str) -> Policy {
    match name {
        "constant" => Policy::Constant,
        "step" => Policy::Step {
            every: 3,
            factor: 0.5,
        },
        "multi_step" => Policy::MultiStep {
            at: vec![2, 7, 7, 11],
            factor: 0.1,
        },
        "cosine" => Policy::Cosine {
            steps: 12,
            last: 0.01,
        },
        "polynomial" => Policy::Polynomial {
            steps: 12,
            power: 0.9,
        },
        other => {
            let words: Vec<&str> = other.split(' ').collect();
            let ["one_cycle", steps, pct, last, anneal] = words[..] else {
                panic!("unknown policy {other}")
            };
            Policy::OneCycle(OneCycle {
                pct_start: pct.parse().unwrap(),
                final_div_factor: last.parse().unwrap(),
                anneal: match anneal {
                    "cos" => Anneal::Cos,
                    _ => Anneal::Linear,
                },
                momentum: Some([0.85, 0.95]),
                ..OneCycle::new(steps.parse().unwrap())
            })
        }
    }
}

/// Each phase counts its own steps, and the last goes on.
#[test]
fn phases_follow_each_other() {
    let cosine = || Policy::Cosine {
        steps: 4,
        last: 0.0,
    };
    let phases = schedule(Policy::Sequence(vec![
        Phase {
            steps: 3,
            factor: 0.5,
            policy: Policy::Constant,
        },
        Phase {
            steps: 4,
            factor: 1.0,
            policy: cosine(),
        },
    ]));
    phases.check().unwrap();
    let alone = schedule(cosine());
    for step in 0..3 {
        assert_eq!(phases.at(step).rate, 0.15);
    }
    for step in 0..20 {
        assert_eq!(phases.at(3 + step), alone.at(step));
    }
    // A warm-up leads to the first phase's rate.
    let warm = Schedule {
        warm_up: WarmUp {
            steps: 2,
            start_factor: 0.5,
        },
        ..phases
    };
    assert_eq!([0, 2, 5].map(|step| warm.at(step).rate), [0.075, 0.15, 0.3]);
}

#[test]
fn faulty_phases_are_refused() {
    let phase = |steps, factor, policy| Phase {
        steps,
        factor,
        policy,
    };
    for phases in [
        vec![],
        vec![phase(0, 1.0, Policy::Constant)],
        vec![phase(1, 0.0, Policy::Constant)],
        vec![phase(1, f64::NAN, Policy::Constant)],
        vec![phase(
            1,
            1.0,
            Policy::Step {
                every: 0,
                factor: 0.5,
            },
        )],
    ] {
        let error = schedule(Policy::Sequence(phases)).check();
        assert!(matches!(error, Err(Error::Train(TrainError::Value { .. }))));
    }
}

#[test]
fn rates_are_pytorchs() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/schedules.json");
    for case in Golden::open(file).cases() {
        let name = case.text("name");
        let mut schedule = schedule(policy(name.trim_start_matches("warm_up ")));
        if name.starts_with("warm_up ") {
            schedule.warm_up = WarmUp {
                steps: 5,
                start_factor: 0.125,
            };
        }
        schedule.check().unwrap();
        let rates = case.tensor("rates");
        for (step, (&rate, &momentum)) in rates.iter().zip(&case.tensor("momenta")).enumerate() {
            let got = schedule.at(step as u64);
            // PyTorch multiplies its previous rate, and so rounds a few times in each of up to 20
            // steps; a rate at the end of a cosine is the difference of larger ones.
            assert!(
                (got.rate - rate).abs() <= 100.0 * f64::EPSILON * 0.3,
                "{name} {step}: {got:?} {rate}"
            );
            if let Some(got) = got.momentum {
                assert!(
                    (got - momentum).abs() <= 10.0 * f64::EPSILON,
                    "{name} {step}: {got} {momentum}"
                );
            }
        }
    }
}

#[test]
fn what_ends_stays_at_its_end() {
    for name in ["cosine", "polynomial", "one_cycle 20 0.3 1e4 cos"] {
        let schedule = schedule(policy(name));
        let last = if name.starts_with("one") { 19 } else { 12 };
        for step in [last + 1, 1000, u64::MAX] {
            assert_eq!(schedule.at(step), schedule.at(last), "{name}");
        }
    }
    assert_eq!(schedule(policy("cosine")).at(12).rate, 0.01);
    assert_eq!(schedule(policy("polynomial")).at(12).rate, 0.0);
}

#[test]
fn a_cycle_that_begins_at_its_top() {
    // One rising step: PyTorch divides 0 by 0 here.
    let cycle = OneCycle {
        pct_start: 0.25,
        ..OneCycle::new(4)
    };
    let schedule = schedule(Policy::OneCycle(cycle));
    assert_eq!(schedule.at(0).rate, 0.3);
    assert_eq!(schedule.at(0).momentum, None);
    let single = Schedule {
        policy: Policy::OneCycle(OneCycle::new(1)),
        ..schedule
    };
    assert!(single.at(0).rate.is_finite());
}

#[test]
fn numbers_out_of_range() {
    let cycle = |change: fn(&mut OneCycle)| {
        let mut cycle = OneCycle::new(10);
        change(&mut cycle);
        Policy::OneCycle(cycle)
    };
    for (policy, named) in [
        (
            Policy::Step {
                every: 0,
                factor: 0.1,
            },
            "the steps between two changes of the rate",
        ),
        (
            Policy::Step {
                every: 1,
                factor: -0.1,
            },
            "the rate's factor",
        ),
        (
            Policy::MultiStep {
                at: vec![],
                factor: f64::NAN,
            },
            "the rate's factor",
        ),
        (
            Policy::Cosine {
                steps: 0,
                last: 0.0,
            },
            "the schedule's steps",
        ),
        (
            Policy::Cosine {
                steps: 1,
                last: -1.0,
            },
            "the last rate",
        ),
        (
            Policy::Polynomial {
                steps: 0,
                power: 1.0,
            },
            "the schedule's steps",
        ),
        (
            Policy::Polynomial {
                steps: 1,
                power: 0.0,
            },
            "the schedule's power",
        ),
        (cycle(|c| c.steps = 0), "the schedule's steps"),
        (cycle(|c| c.pct_start = 1.5), "pct_start"),
        (cycle(|c| c.div_factor = 0.0), "div_factor"),
        (
            cycle(|c| c.final_div_factor = f64::INFINITY),
            "final_div_factor",
        ),
        (
            cycle(|c| c.momentum = Some([0.8, 1.0])),
            "a cycled momentum",
        ),
    ] {
        match schedule(policy).check() {
            Err(Error::Train(TrainError::Value { what, .. })) => assert_eq!(what, named),
            other => panic!("{named}: {other:?}"),
        }
    }
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = Schedule::constant(rate).check();
        assert!(
            matches!(
                error,
                Err(Error::Train(TrainError::Value {
                    what: "the rate",
                    ..
                }))
            ),
            "{error:?}"
        );
    }
    let mut warm = Schedule::constant(0.1);
    warm.warm_up.start_factor = 1.5;
    assert!(matches!(
        warm.check(),
        Err(Error::Train(TrainError::Value { .. }))
    ));
}

#[test]
fn recipes_leave_out_what_is_as_usual() {
    let read = |text: &str| serde_json::from_str::<Schedule>(text);
    let got =
        read(r#"{"rate": 0.3, "policy": {"one_cycle": {"steps": 9}}, "warm_up": {"steps": 2}}"#);
    let expected = Schedule {
        policy: Policy::OneCycle(OneCycle::new(9)),
        warm_up: WarmUp {
            steps: 2,
            start_factor: 0.01,
        },
        ..Schedule::constant(0.3)
    };
    assert_eq!(got.unwrap(), expected);
    assert_eq!(read(r#"{"rate": 0.3}"#).unwrap(), Schedule::constant(0.3));
    for wrong in [
        r#"{}"#,
        r#"{"rate": 0.3, "warmup": {}}"#,
        r#"{"rate": 0.3, "policy": {"cosine": {"steps": 1, "lasst": 0}}}"#,
        r#"{"rate": 0.3, "policy": {"one_cycle": {"steps": 1, "pct": 0.5}}}"#,
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    /// Every schedule that passes the check has rates that a step can use.
    #[test]
    fn checked_schedules_give_rates(
        kind in 0..5, steps in 0u64..40, warm in 0u64..10, a in -0.5f64..3.0, b in -0.5f64..1.5,
        step in prop_oneof![0u64..60, any::<u64>()],
    ) {
        let policy = match kind {
            0 => Policy::Step { every: steps, factor: a },
            1 => Policy::MultiStep { at: vec![steps, 2 * steps], factor: a },
            2 => Policy::Cosine { steps, last: b },
            3 => Policy::Polynomial { steps, power: a },
            _ => Policy::OneCycle(OneCycle {
                pct_start: b, div_factor: a, momentum: Some([b, 0.9]), ..OneCycle::new(steps)
            }),
        };
        let schedule = Schedule { rate: 0.3, policy, warm_up: WarmUp { steps: warm, start_factor: 0.1 } };
        if schedule.check().is_ok() && !(a > 1.0 && step > 60) {
            let rates = schedule.at(step);
            prop_assert!(rates.rate.is_finite() && rates.rate >= 0.0, "{:?}", rates);
            if let Some(momentum) = rates.momentum {
                prop_assert!((0.0..1.0).contains(&momentum), "{}", momentum);
            }
        }
    }
}
