//! Rows N: sockets.

use crate::program::n1_echo::{Fourth, POOL, STARTS, Server, fourth_waits, restart};

/// N1: three are served at once and the fourth after one of them, with threads and with
/// coroutines; then the address is used again.
#[test]
fn the_fourth_client_waits_its_turn() {
    for (kind, start) in STARTS {
        let server = Server::start(([127, 0, 0, 1], 0).into(), start).unwrap();
        let expected = Fourth {
            first: ["ONE", "TWO", "THREE"].map(String::from).to_vec(),
            early: false,
            answer: "FOUR".to_string(),
            most: POOL,
        };
        assert_eq!(fourth_waits(&server).unwrap(), expected, "with {kind}");

        let (lingering, answer) = restart(server, start).unwrap();
        assert!(lingering, "nothing would have been in the way, with {kind}");
        assert_eq!(answer, "AGAIN", "with {kind}");
    }
}
