//! Side-by-side comparisons of Ropewalk with its peers.

fn main() {}
