//! Lanes that want the same room: whose turn it is, and for how long.

use super::*;

/// A tenant that never leaves by itself.
struct Guest(&'static str);

impl Tenant for Guest {
    fn name(&self) -> &str {
        self.0
    }
    fn is_idle(&self) -> bool {
        true
    }
    fn ask_to_leave(&self) {}
}

#[test]
fn lanes_that_take_turns_read_their_models_seldom() {
    let budget = budget(1);
    let pairs = [
        [image("first", &budget), image("second", &budget)],
        [image("picture", &budget), text("words", &budget)],
        [text("other words", &budget), embedding(&budget)],
    ];
    for models in &pairs {
        let hold = models[0].script.gate.write();
        let calls: Vec<Call> = (0..10).flat_map(|_| models.each_ref().map(Model::call)).collect();
        drop(hold);
        assert!(calls.iter().all(|call| call.end().is_ok()));
        let loads = models.each_ref().map(Model::loads);
        assert!(loads.iter().all(|loads| *loads <= 2), "{loads:?}");
    }
}

#[test]
fn a_lane_with_much_to_do_leaves_before_it_is_done_when_another_waits() {
    let budget = budget(1);
    let (busy, other) = (image("busy", &budget), image("other", &budget));
    let hold = busy.script.gate.write();
    let calls: Vec<Call> = (0..30).map(|_| busy.call()).collect();
    until(|| busy.loads() == 1);
    let waits = other.call();
    until(|| locked(&budget.leases).iter().any(|lease| lease.was_asked));
    drop(hold);
    assert_eq!(waits.end(), Ok(()));
    assert!(calls.iter().all(|call| call.end().is_ok()));
    assert_eq!((busy.loads(), other.loads()), (2, 1));
}

/// Many rounds: who releases is nearly always faster than who has to wake up.
#[test]
fn who_gives_room_up_does_not_take_it_back_before_who_waited_for_it() {
    for _ in 0..50 {
        let budget = budget(1);
        let (has_room, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        budget.reserve(Arc::new(Guest("first")), BYTES, &|| true).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let is_wanted = || !is_over.load(Ordering::SeqCst);
                let second = budget.reserve(Arc::new(Guest("second")), BYTES, &is_wanted);
                has_room.store(second.is_ok(), Ordering::SeqCst);
                budget.wake();
            });
            until(|| !locked(&budget.line).waiting.is_empty());
            budget.release("first");
            let is_wanted = || !has_room.load(Ordering::SeqCst);
            let again = budget.reserve(Arc::new(Guest("first")), BYTES, &is_wanted);
            is_over.store(true, Ordering::SeqCst);
            budget.wake();
            assert_eq!(again, Err(NoRoom::Unwanted));
        });
        assert!(locked(&budget.line).waiting.is_empty());
    }
}

#[test]
fn who_stops_waiting_holds_up_nobody() {
    let budget = budget(2);
    budget.reserve(Arc::new(Guest("first")), BYTES, &|| true).unwrap();
    let is_wanted = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let large = scope.spawn(|| {
            let is_wanted = || is_wanted.load(Ordering::SeqCst);
            budget.reserve(Arc::new(Guest("large")), 2 * BYTES, &is_wanted)
        });
        until(|| locked(&budget.line).waiting.len() == 1);
        let small = scope.spawn(|| budget.reserve(Arc::new(Guest("small")), BYTES, &|| true));
        until(|| locked(&budget.line).waiting.len() == 2);
        is_wanted.store(false, Ordering::SeqCst);
        budget.wake();
        assert_eq!(large.join().unwrap(), Err(NoRoom::Unwanted));
        assert_eq!(small.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_load_for_which_the_memory_is_not_there_has_the_longest_unused_model_leave() {
    for late in 0..3 {
        let models = one_of_each(&Arc::new(MemoryBudget::new(None)));
        let (oldest, other) = (&models[(late + 1) % 3], &models[(late + 2) % 3]);
        assert_eq!((oldest.serve(), other.serve()), (Ok(()), Ok(())));
        models[late].script.is_short.store(true, Ordering::SeqCst);
        assert_eq!((models[late].serve(), models[late].loads()), (Ok(()), 2));
        assert!(!oldest.is_loaded() && other.is_loaded());
    }
}

#[test]
fn a_load_for_which_the_memory_is_not_there_fails_when_nobody_can_leave() {
    let model = image("image", &Arc::new(MemoryBudget::new(None)));
    model.script.is_short.store(true, Ordering::SeqCst);
    let failure = model.serve().unwrap_err();
    assert!(failure.detail.ends_with("out of memory: the card is full"), "{}", failure.detail);
    assert_eq!((model.loads(), model.serve()), (1, Ok(())));
}
