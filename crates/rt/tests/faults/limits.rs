//! Real limits of the system.
