//! Compiles and runs what the attributes expand to, against a stand-in for Ropewalk's root that
//! writes down how it was called. Other tests cover the tokens; the real root has its own.

use std::cell::RefCell;
use std::fmt::Display;
use std::process::{ExitCode, Termination};
use std::rc::Rc;

/// What the macros expect at the root of Ropewalk.
mod runtime {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
        super::note("block_on");
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the futures of this test are ready at once"),
        }
    }

    pub(crate) mod __private {
        use std::process::{ExitCode, Termination};

        #[derive(Debug, Default)]
        pub(crate) struct MainOptions {
            pub(crate) workers: Option<usize>,
            pub(crate) stack_size: Option<usize>,
        }

        pub(crate) type TestOptions = MainOptions;

        pub(crate) fn main<T: Termination>(options: MainOptions, body: fn() -> T) -> ExitCode {
            // What another test has left, if all run on one thread.
            super::super::notes();
            super::super::note(format!(
                "main {:?} {:?}",
                options.workers, options.stack_size
            ));
            body().report()
        }

        pub(crate) fn test<T: Termination>(
            options: TestOptions,
            name: &'static str,
            body: fn() -> T,
        ) -> ExitCode {
            let TestOptions {
                workers,
                stack_size,
            } = options;
            super::super::notes();
            super::super::note(format!("test {name} {workers:?} {stack_size:?}"));
            body().report()
        }
    }
}

thread_local! {
    static NOTES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn note(what: impl Display) {
    NOTES.with_borrow_mut(|notes| notes.push(what.to_string()));
}

fn notes() -> Vec<String> {
    NOTES.take()
}

#[ropewalk_macros::main(crate = crate::runtime)]
fn plain() {
    note("body");
}

#[ropewalk_macros::main(crate = runtime, workers = 3, stack_size = 65_536)]
pub(crate) fn fallible() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let number: u8 = "300".parse()?;
    Ok(ExitCode::from(number))
}

#[ropewalk_macros::main(crate = self::runtime, workers = 1)]
async fn of_async() -> Result<ExitCode, std::num::ParseIntError> {
    let number = async { "30".parse::<u8>() }.await?;
    Ok(ExitCode::from(number))
}

#[ropewalk_macros::main(crate = runtime)]
fn opaque() -> impl Termination {
    #![allow(clippy::needless_return)]
    return ExitCode::from(7);
}

#[ropewalk_macros::main(crate = runtime)]
fn endless() -> ! {
    panic!("the end")
}

#[ropewalk_macros::main(crate = runtime)]
async fn endless_async() -> ! {
    panic!("the end")
}

#[ropewalk_macros::main(crate = runtime)]
#[allow(clippy::unused_unit)]
async fn unit() -> () {
    note("body");
}

macro_rules! with_workers {
    ($name:ident, $workers:literal, $root:path, $output:ty) => {
        #[ropewalk_macros::main(workers = $workers, crate = $root)]
        fn $name() -> $output {}
    };
}
with_workers!(made_by_a_macro, 5, runtime, ());

#[test]
fn main_runs_its_body_in_the_runtime() {
    let () = plain();
    assert_eq!(notes(), ["main None None", "body"]);
    let () = unit();
    assert_eq!(notes(), ["main None None", "block_on", "body"]);
    let () = made_by_a_macro();
    assert_eq!(notes(), ["main Some(5) None"]);
}

#[test]
fn main_makes_an_exit_code_of_what_its_body_returns() {
    assert_eq!(fallible(), ExitCode::FAILURE);
    assert_eq!(notes(), ["main Some(3) Some(65536)"]);
    assert_eq!(of_async(), ExitCode::from(30));
    assert_eq!(notes(), ["main Some(1) None", "block_on"]);
    assert_eq!(opaque(), ExitCode::from(7));
}

#[test]
#[should_panic(expected = "the end")]
fn main_may_never_return() {
    let _: ExitCode = endless();
}

#[test]
#[should_panic(expected = "the end")]
fn an_async_main_may_never_return() {
    let _: ExitCode = endless_async();
}

#[ropewalk_macros::test(crate = runtime, workers = 2)]
fn a_test_is_told_its_options_and_name() {
    let name = "expansions::a_test_is_told_its_options_and_name";
    assert_eq!(notes(), [format!("test {name} Some(2) None")]);
}

mod inner {
    // Where `test` means another macro than the prelude's.
    use ropewalk_macros::test;

    #[test(crate = super::runtime)]
    fn r#loop() {
        assert_eq!(super::notes(), ["test expansions::inner::loop None None"]);
    }
}

#[ropewalk_macros::test(crate = runtime)]
#[should_panic(expected = "overboard")]
fn a_test_may_have_to_panic() {
    panic!("man overboard");
}

#[should_panic(expected = "overboard")]
#[ropewalk_macros::test(crate = runtime)]
fn a_test_may_have_to_panic_by_an_attribute_above() {
    panic!("man overboard");
}

#[ropewalk_macros::test(crate = runtime)]
#[should_panic(expected = "overboard")]
#[allow(clippy::unused_unit)]
fn a_test_that_spells_out_unit_may_have_to_panic() -> () {
    panic!("man overboard");
}

#[ropewalk_macros::test(crate = runtime)]
#[ignore = "it fails: `a_test_that_returns_an_error_fails` calls it"]
fn returns_an_error() -> Result<(), Rc<str>> {
    Err("not Send".into())
}

#[test]
fn a_test_that_returns_an_error_fails() {
    assert_eq!(returns_an_error(), ExitCode::FAILURE);
}

#[ropewalk_macros::test(crate = runtime)]
#[ignore = "it would fail: this shows that it is not run"]
fn a_test_may_be_ignored() {
    panic!("an ignored test was run");
}

#[ropewalk_macros::test(crate = runtime)]
#[cfg(any())]
fn a_test_may_be_left_out() {
    compile_error!("a test that is left out was compiled");
}

#[ropewalk_macros::test(crate = runtime)]
async fn a_test_may_be_async_and_return_a_result() -> Result<(), std::num::ParseIntError> {
    let number: u8 = async { "42".parse() }.await?;
    assert_eq!(number, 42);
    assert_eq!(notes().last().map(String::as_str), Some("block_on"));
    Ok(())
}
