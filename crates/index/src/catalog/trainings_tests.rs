#![allow(clippy::unwrap_used, reason = "tests")]
use serde_json::json;

use super::*;
use crate::catalog::training_types::{NewTraining, TrainingControl, TrainingOutcome};

fn catalog() -> (tempfile::TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(folder.path()).unwrap();
    (folder, catalog)
}

fn add(catalog: &Catalog, name: &str) -> String {
    let new = NewTraining {
        name: name.to_owned(),
        config: "stage: sft\n".into(),
        outcome: TrainingOutcome { release: true, ..TrainingOutcome::default() },
        base: "/srv".into(),
        by: "local".into(),
    };
    catalog.add_training(&new).unwrap().id
}

fn state_of(catalog: &Catalog, id: &str) -> TrainingState {
    catalog.training(id).unwrap().unwrap().state
}

/// Makes the trainer of `id` one that was not heard for long.
fn silence(catalog: &Catalog, id: &str) {
    catalog
        .write(|tx| {
            Ok(tx.execute(
                "UPDATE trainings SET heard_at = heard_at - ?2 WHERE id = ?1",
                params![id, SILENCE + 1],
            )?)
        })
        .unwrap();
}

fn figure(step: u64) -> TrainingFigure {
    TrainingFigure { step, eval: false, figures: json!({"loss": 1.0 / step as f64}) }
}

#[test]
fn each_training_has_one_trainer_and_the_oldest_goes_first() {
    let (_folder, catalog) = catalog();
    let (first, second) = (add(&catalog, "a"), add(&catalog, "b"));
    let names: Vec<Option<String>> = std::thread::scope(|scope| {
        let claims: Vec<_> = (0..6)
            .map(|n| {
                let catalog = &catalog;
                scope.spawn(move || catalog.claim_training(&format!("t{n}")).unwrap().map(|t| t.id))
            })
            .collect();
        claims.into_iter().map(|claim| claim.join().unwrap()).collect()
    });
    let mut claimed: Vec<String> = names.into_iter().flatten().collect();
    claimed.sort();
    assert_eq!(claimed, [first, second]);
    assert_eq!(catalog.claim_training("late").unwrap(), None);
}

#[test]
fn a_dead_trainers_training_waits_again_and_the_dead_one_is_heard_no_more() {
    let (_folder, catalog) = catalog();
    let id = add(&catalog, "a");
    catalog.claim_training("old").unwrap().unwrap();
    assert_eq!(catalog.claim_training("new").unwrap(), None, "its trainer was just heard");
    silence(&catalog, &id);
    assert_eq!(catalog.claim_training("new").unwrap().unwrap().id, id);
    let progress = TrainingProgress { step: 3, ..TrainingProgress::default() };
    assert_eq!(catalog.report_training(&id, "old", &progress, &[figure(3)]).unwrap(), TrainerOrder::Lost);
    assert!(!catalog.end_training(&id, "old", &TrainingEnd::Succeeded { release: None }).unwrap());
    assert_eq!(catalog.training_figures(&id, None, 10).unwrap().unwrap(), []);
    assert_eq!(catalog.report_training(&id, "new", &progress, &[figure(3)]).unwrap(), TrainerOrder::GoOn);
    // It is given up where nothing comes of it, and a checkpoint begins the count anew.
    silence(&catalog, &id);
    catalog.claim_training("third").unwrap().unwrap();
    let saved = TrainingProgress { checkpoint: Some(5), ..progress };
    catalog.report_training(&id, "third", &saved, &[]).unwrap();
    for trainer in ["fourth", "fifth"] {
        silence(&catalog, &id);
        catalog.claim_training(trainer).unwrap().unwrap();
    }
    silence(&catalog, &id);
    assert_eq!(catalog.claim_training("sixth").unwrap(), None);
    let failed = catalog.training(&id).unwrap().unwrap();
    assert_eq!(failed.state, TrainingState::Failed);
    assert!(failed.error.unwrap().contains("died 3 times"));
    // A person may try again all the same.
    catalog.control_training(&id, TrainingControl::Resume).unwrap().unwrap();
    assert_eq!(catalog.claim_training("seventh").unwrap().unwrap().error, None);
}

#[test]
fn a_training_does_what_a_person_wants() {
    let (_folder, catalog) = catalog();
    let id = add(&catalog, "a");
    let control = |control| catalog.control_training(&id, control).unwrap().unwrap();
    assert_eq!(control(TrainingControl::Pause).state, TrainingState::Paused);
    assert_eq!(catalog.claim_training("t").unwrap(), None);
    assert_eq!(control(TrainingControl::Resume).state, TrainingState::Queued);
    catalog.claim_training("t").unwrap().unwrap();
    let report = || catalog.report_training(&id, "t", &TrainingProgress::default(), &[]).unwrap();
    assert_eq!(report(), TrainerOrder::GoOn);
    assert_eq!(control(TrainingControl::Pause).wanted, Some(TrainingControl::Pause));
    assert_eq!(report(), TrainerOrder::End);
    assert!(catalog.end_training(&id, "t", &TrainingEnd::ToldTo).unwrap());
    let paused = catalog.training(&id).unwrap().unwrap();
    assert_eq!((paused.state, paused.wanted, paused.ended_at), (TrainingState::Paused, None, None));

    control(TrainingControl::Resume);
    catalog.claim_training("t").unwrap().unwrap();
    // The trainer itself has to end.
    assert!(catalog.end_training(&id, "t", &TrainingEnd::ToldTo).unwrap());
    assert_eq!(state_of(&catalog, &id), TrainingState::Queued);
    catalog.claim_training("u").unwrap().unwrap();
    assert!(catalog.delete_training(&id).is_err());
    assert_eq!(control(TrainingControl::Stop).state, TrainingState::Stopping);
    assert_eq!(report_of(&catalog, &id), TrainerOrder::End);
    catalog.end_training(&id, "u", &TrainingEnd::ToldTo).unwrap();
    assert_eq!(state_of(&catalog, &id), TrainingState::Stopped);
    let refused = catalog.control_training(&id, TrainingControl::Pause).unwrap_err().to_string();
    assert_eq!(refused, "a training that is stopped cannot be paused");
    assert!(catalog.delete_training(&id).unwrap() && !catalog.delete_training(&id).unwrap());
    assert_eq!(catalog.control_training(&id, TrainingControl::Stop).unwrap(), None);
}

fn report_of(catalog: &Catalog, id: &str) -> TrainerOrder {
    catalog.report_training(id, "u", &TrainingProgress::default(), &[]).unwrap()
}

#[test]
fn a_person_can_have_done_with_a_training_whose_trainer_died() {
    let (_folder, catalog) = catalog();
    let (stopped, deleted) = (add(&catalog, "a"), add(&catalog, "b"));
    for trainer in ["t", "u"] {
        catalog.claim_training(trainer).unwrap().unwrap();
    }
    silence(&catalog, &stopped);
    silence(&catalog, &deleted);
    let after = catalog.control_training(&stopped, TrainingControl::Stop).unwrap().unwrap();
    assert_eq!(after.state, TrainingState::Stopped);
    assert!(catalog.delete_training(&deleted).unwrap());
    let progress = TrainingProgress::default();
    for (id, trainer) in [(&stopped, "t"), (&deleted, "u")] {
        assert_eq!(catalog.report_training(id, trainer, &progress, &[]).unwrap(), TrainerOrder::Lost);
    }
}

#[test]
fn many_evaluations_take_no_steps_away() {
    let (_folder, catalog) = catalog();
    let id = add(&catalog, "a");
    catalog.claim_training("t").unwrap().unwrap();
    let count = FIGURES as u64 + 1;
    let evals = (1..=count).map(|step| TrainingFigure { step, eval: true, figures: json!({}) });
    let progress = TrainingProgress::default();
    catalog.report_training(&id, "t", &progress, &evals.collect::<Vec<_>>()).unwrap();
    for step in 1..=3 {
        catalog.report_training(&id, "t", &progress, &[figure(step)]).unwrap();
    }
    let kept = catalog.training_figures(&id, None, 9000).unwrap().unwrap();
    let (evals, steps): (Vec<_>, Vec<_>) = kept.iter().partition(|figure| figure.eval);
    assert_eq!((evals.len(), steps.len()), (FIGURES / 2 + 1, 3));
}

#[test]
fn figures_are_bounded_and_come_in_order() {
    let (_folder, catalog) = catalog();
    let id = add(&catalog, "a");
    catalog.claim_training("t").unwrap().unwrap();
    let many: Vec<TrainingFigure> = (1..=FIGURES as u64 + 1).map(figure).collect();
    let eval = TrainingFigure { step: 2, eval: true, figures: json!({"eval_loss": 2.0}) };
    let progress = TrainingProgress::default();
    catalog.report_training(&id, "t", &progress, &many[..3]).unwrap();
    catalog.report_training(&id, "t", &progress, std::slice::from_ref(&eval)).unwrap();
    let after = |step| catalog.training_figures(&id, step, 9000).unwrap().unwrap();
    assert_eq!(
        after(None).iter().map(|f| (f.step, f.eval)).collect::<Vec<_>>(),
        [(1, false), (2, false), (2, true), (3, false)]
    );
    assert_eq!(after(Some(2)).len(), 1);
    catalog.forget_figures(&id, "t", 1).unwrap();
    assert_eq!(after(None).len(), 1);
    catalog.report_training(&id, "t", &progress, &[eval]).unwrap();
    catalog.report_training(&id, "t", &progress, &many).unwrap();
    let kept = after(None);
    assert!(kept.len() <= FIGURES / 2 + 2 && kept.iter().any(|figure| figure.eval), "{}", kept.len());
    assert_eq!(catalog.training_figures("none", None, 1).unwrap(), None);
}

#[test]
fn trainers_are_seen_while_they_are_heard() {
    let (_folder, catalog) = catalog();
    catalog.hear_trainer("host-1").unwrap();
    catalog.hear_trainer("host-2").unwrap();
    catalog.forget_trainer("host-2").unwrap();
    let seen = catalog.trainers().unwrap();
    assert_eq!(seen.iter().map(|t| (t.name.as_str(), t.alive)).collect::<Vec<_>>(), [("host-1", true)]);
}
