//! The scheduler of Ropewalk.
