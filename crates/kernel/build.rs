//! Exists because cargo asks for a build script wherever `links` is used: `links` is
//! what keeps two kernels, and so two sets of workers, out of one program.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
