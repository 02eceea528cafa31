//! The programs as modules.

#[path = "../../examples/c12_million.rs"]
pub mod c12_million;
#[path = "../../examples/c14_implicit.rs"]
pub mod c14_implicit;
#[path = "../../examples/n1_echo.rs"]
pub mod n1_echo;
#[path = "../../examples/t1_threads.rs"]
pub mod t1_threads;
#[path = "../../examples/t2_daemons.rs"]
pub mod t2_daemons;
#[path = "../../examples/w1_raw_http.rs"]
pub mod w1_raw_http;
#[path = "../../examples/w4_routes.rs"]
pub mod w4_routes;
#[path = "../../examples/w5_slow_handler.rs"]
pub mod w5_slow_handler;
#[path = "../../examples/w8_not_found.rs"]
pub mod w8_not_found;
#[path = "../../examples/n7_framing.rs"]
pub mod n7_framing;
#[path = "../../examples/w2_callbacks.rs"]
pub mod w2_callbacks;
#[path = "../../examples/w6_delayed.rs"]
pub mod w6_delayed;
#[path = "../../examples/w7_stop_index.rs"]
pub mod w7_stop_index;
