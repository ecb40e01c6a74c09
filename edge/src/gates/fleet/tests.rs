//! The fleet's rules, each with its own test.

use super::*;

fn order(id: &str, capacity: u32) -> RegisterNode {
    RegisterNode {
        node_id: id.to_owned(),
        url: format!("http://{id}:8000/"),
        models: vec!["small".to_owned()],
        capacity,
        version: "1".to_owned(),
    }
}

fn fleet(ids: &[&str]) -> FleetGate {
    let mut fleet = FleetGate::default();
    for id in ids {
        fleet.register(order(id, 1), 0);
    }
    fleet
}

fn load(running: u32, queued: u32) -> Heartbeat {
    Heartbeat { running, queued, is_draining: false, is_ready: true }
}

fn pick(fleet: &mut FleetGate, now_ms: u64) -> Option<String> {
    fleet.pick("small", &[], now_ms).map(|node| node.node_id)
}

#[test]
fn picks_the_least_loaded_by_capacity() {
    let mut fleet = fleet(&["a"]);
    fleet.register(order("b", 4), 0);
    fleet.heartbeat("a", &load(1, 0), 1);
    fleet.heartbeat("b", &load(2, 1), 1);
    assert_eq!(pick(&mut fleet, 2).as_deref(), Some("b"));
}

#[test]
fn counts_its_own_picks_until_the_next_heartbeat() {
    let mut fleet = fleet(&["a", "b"]);
    assert_eq!(pick(&mut fleet, 1).as_deref(), Some("a"));
    assert_eq!(pick(&mut fleet, 2).as_deref(), Some("b"));
    fleet.heartbeat("b", &load(0, 0), 3);
    assert_eq!(pick(&mut fleet, 4).as_deref(), Some("b"));
}

#[test]
fn gives_no_work_to_who_lacks_the_model_or_is_excluded_or_drains() {
    let mut fleet = fleet(&["a", "b"]);
    assert_eq!(fleet.pick("large", &[], 1), None);
    assert_eq!(fleet.pick("small", &["a".to_owned(), "b".to_owned()], 1), None);
    fleet.heartbeat("a", &Heartbeat { is_draining: true, ..load(0, 0) }, 1);
    fleet.heartbeat("b", &Heartbeat { is_draining: true, ..load(0, 0) }, 1);
    assert!(!fleet.has_model("small", 1));
    assert_eq!(pick(&mut fleet, 1), None);
}

#[test]
fn three_missed_heartbeats_end_the_work_and_a_new_one_brings_it_back() {
    let mut fleet = fleet(&["a"]);
    assert!(pick(&mut fleet, SILENT_AFTER_MS).is_some());
    assert_eq!(pick(&mut fleet, SILENT_AFTER_MS + 1), None);
    assert!(!fleet.list(SILENT_AFTER_MS + 1).first().unwrap().is_healthy);
    assert!(fleet.heartbeat("a", &load(0, 0), SILENT_AFTER_MS + 2));
    assert!(pick(&mut fleet, SILENT_AFTER_MS + 3).is_some());
}

#[test]
fn an_unknown_node_must_register_again() {
    let mut fleet = fleet(&["a"]);
    assert!(!fleet.heartbeat("b", &load(0, 0), 1));
    assert_eq!(fleet.forget_silent(FORGOTTEN_AFTER_MS + 1), ["a"]);
    assert!(!fleet.heartbeat("a", &load(0, 0), FORGOTTEN_AFTER_MS + 2));
}

#[test]
fn three_failures_in_a_row_open_the_circuit() {
    let mut fleet = fleet(&["a"]);
    fleet.report("a", false, 1);
    fleet.report("a", false, 1);
    fleet.report("a", true, 1);
    fleet.report("a", false, 1);
    fleet.report("a", false, 1);
    assert!(fleet.has_model("small", 1));
    assert!(fleet.report("a", false, 1));
    assert!(!fleet.has_model("small", 1));
    assert_eq!(pick(&mut fleet, OPEN_FOR_MS), None);
}

#[test]
fn a_half_open_circuit_lets_one_probe_through() {
    let mut fleet = fleet(&["a"]);
    for _ in 0..3 {
        fleet.report("a", false, 0);
    }
    fleet.heartbeat("a", &load(0, 0), OPEN_FOR_MS);
    assert!(pick(&mut fleet, OPEN_FOR_MS).is_some());
    assert_eq!(pick(&mut fleet, OPEN_FOR_MS + 1), None);
    fleet.report("a", true, OPEN_FOR_MS + 2);
    assert!(pick(&mut fleet, OPEN_FOR_MS + 3).is_some());
}

#[test]
fn a_failed_probe_opens_the_circuit_again() {
    let mut fleet = fleet(&["a"]);
    for _ in 0..3 {
        fleet.report("a", false, 0);
    }
    fleet.heartbeat("a", &load(0, 0), OPEN_FOR_MS);
    pick(&mut fleet, OPEN_FOR_MS).unwrap();
    fleet.report("a", false, OPEN_FOR_MS + 10);
    assert_eq!(pick(&mut fleet, 2 * OPEN_FOR_MS + 9), None);
    fleet.heartbeat("a", &load(0, 0), 2 * OPEN_FOR_MS);
    assert!(pick(&mut fleet, 2 * OPEN_FOR_MS + 10).is_some());
}

#[test]
fn texts_spread_by_their_own_number_and_take_no_jobs_place() {
    let mut fleet = fleet(&["a", "b"]);
    let text = |fleet: &mut FleetGate, now_ms| {
        fleet.pick_text("small", &[], now_ms).map(|node| node.node_id)
    };
    assert_eq!(text(&mut fleet, 1).as_deref(), Some("a"));
    assert_eq!(text(&mut fleet, 2).as_deref(), Some("b"));
    assert_eq!(text(&mut fleet, 3).as_deref(), Some("a"));
    // Two texts on a, one on b: a job still finds both free.
    assert_eq!(pick(&mut fleet, 4).as_deref(), Some("a"));
    fleet.end_text("a", Some(true), 5);
    fleet.end_text("a", Some(true), 5);
    assert_eq!(text(&mut fleet, 6).as_deref(), Some("a"));
    assert_eq!(fleet.list(6).iter().map(|node| node.texts).collect::<Vec<_>>(), [1, 1]);
    // Those that never said that they ended are forgotten.
    fleet.heartbeat("a", &load(0, 0), TEXT_COUNTS_FOR_MS + 7);
    assert_eq!(fleet.list(TEXT_COUNTS_FOR_MS + 7)[0].texts, 0);
}

#[test]
fn a_busy_or_refusing_node_says_nothing_about_its_health() {
    let mut fleet = fleet(&["a"]);
    for now_ms in 0..5 {
        fleet.pick_text("small", &[], now_ms);
        fleet.end_text("a", None, now_ms);
    }
    assert!(fleet.has_model("small", 5));
    for now_ms in 5..8 {
        fleet.end_text("a", Some(false), now_ms);
    }
    assert!(!fleet.has_model("small", 8));
}

#[test]
fn a_node_that_is_not_ready_gets_no_work_until_it_is() {
    let mut fleet = fleet(&["a"]);
    fleet.heartbeat("a", &Heartbeat { is_ready: false, ..load(0, 0) }, 1);
    assert_eq!(pick(&mut fleet, 2), None);
    assert!(!fleet.has_model("small", 2));
    fleet.heartbeat("a", &load(0, 0), 3);
    assert_eq!(pick(&mut fleet, 4).as_deref(), Some("a"));
}

#[test]
fn static_nodes_need_no_heartbeat_and_may_have_any_model() {
    let nodes = static_nodes(" http://a:8000/ , http://b:8000|small+large,");
    let mut fleet = FleetGate::new(vec![], nodes);
    assert_eq!(fleet.list(0).len(), 2);
    let first = fleet.pick("medium", &[], 1_000_000).unwrap();
    assert_eq!(first.url, "http://a:8000");
    assert!(fleet.has_model("large", 1_000_000));
    assert!(!fleet.heartbeat("static:http://a:8000", &load(0, 0), 1));
}

#[test]
fn a_static_node_that_registers_is_one_node() {
    let mut fleet = FleetGate::new(vec![], static_nodes("http://a:8000"));
    fleet.register(order("a", 1), 0);
    for now_ms in 1..4 {
        assert_eq!(pick(&mut fleet, now_ms).as_deref(), Some("a"));
    }
}

#[test]
fn a_burst_spreads_over_static_nodes() {
    let mut fleet = FleetGate::new(vec![], static_nodes("http://a:1,http://b:1,http://c:1"));
    let picked: Vec<_> = (1..=6).filter_map(|now_ms| pick(&mut fleet, now_ms)).collect();
    for node in ["static:http://a:1", "static:http://b:1", "static:http://c:1"] {
        assert_eq!(picked.iter().filter(|id| *id == node).count(), 2);
    }
}

#[test]
fn what_is_stored_comes_back_without_static_nodes() {
    let fleet = fleet(&["a"]);
    let stored = serde_json::to_string(fleet.stored_form("a").unwrap()).unwrap();
    let again = FleetGate::new(vec![serde_json::from_str(&stored).unwrap()], vec![]);
    assert_eq!(again, fleet);
    let fleet = FleetGate::new(vec![], static_nodes("http://a:1"));
    assert_eq!(fleet.stored_form("static:http://a:1"), None);
}
