//! One small runnable program for each thing Ropewalk's users must be able to do.
#![forbid(unsafe_code)]
