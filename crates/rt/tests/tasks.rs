//! The table of tasks: what is registered is found, by type, name and number.

use ropewalk_rt::JoinError;
use ropewalk_rt::executor::tasks::{self, CallError, Output, Overflow, TaskEntry};
use ropewalk_rt::executor::{Refusal, SubmitError};

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn square(n: u64) -> u64 {
    n.checked_mul(n).expect("no overflow")
}

#[ropewalk_macros::task(name = "join-words", crate = ropewalk_rt)]
fn join(words: Vec<String>, with: String) -> Result<String, String> {
    match words.is_empty() {
        true => Err("no words".into()),
        false => Ok(words.join(&with)),
    }
}

fn first<T>(list: Vec<T>) -> Option<T> {
    list.into_iter().next()
}

ropewalk_rt::register! {
    "first-u8" => first::<u8>,
    "first-text" => first::<String>,
}

fn nobody_knows_me() {}

#[test]
fn a_function_is_found_by_its_type() {
    assert_eq!(TaskEntry::of(&square).unwrap().name(), "tasks::square");
    assert_eq!(TaskEntry::of(&join).unwrap().name(), "join-words");
    assert_eq!(TaskEntry::of(&first::<u8>).unwrap().name(), "first-u8");
    assert!(TaskEntry::of(&nobody_knows_me).is_none());
    assert!(TaskEntry::of(&first::<u16>).is_none());
    assert!(TaskEntry::of(&|n: u64| n * n).is_none());
}

#[test]
fn names_and_numbers_are_in_order() {
    tasks::check().unwrap();
    let names: Vec<_> = tasks::all().iter().map(|entry| entry.name()).collect();
    assert_eq!(
        names,
        ["first-text", "first-u8", "join-words", "tasks::square"]
    );
    for entry in tasks::all() {
        let same = TaskEntry::by_index(entry.index()).unwrap();
        assert_eq!(same.name(), entry.name());
        assert_eq!(
            TaskEntry::by_name(entry.name()).unwrap().index(),
            entry.index()
        );
    }
    assert!(TaskEntry::by_index(4).is_none());
    assert!(TaskEntry::by_name("square").is_none());
    assert_eq!(TaskEntry::of(&square).unwrap().signature(), "(u64,) -> u64");
}

#[test]
fn a_call_reads_arguments_and_writes_the_result() {
    let entry = TaskEntry::of(&join).unwrap();
    let mut input = Vec::new();
    let words = vec!["a".to_string(), "b".to_string()];
    tasks::encode(&(words, "-".to_string()), &mut input).unwrap();
    let mut output = Vec::new();
    entry.run(&input, &mut output).unwrap();
    let result: Result<String, String> = tasks::decode(&output).unwrap();
    assert_eq!(result.unwrap(), "a-b");

    let mut input = Vec::new();
    tasks::encode(&vec![(2_u64,), (3,), (4,)], &mut input).unwrap();
    let mut output = Vec::new();
    let square = TaskEntry::of(&square).unwrap();
    square.run_chunk(&input, &mut output).unwrap();
    let results: Vec<Result<u64, tasks::Panic>> = tasks::decode(&output).unwrap();
    let results: Vec<u64> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(results, [4, 9, 16]);
}

#[test]
fn a_panic_in_a_chunk_is_that_calls() {
    let mut input = Vec::new();
    tasks::encode(&vec![(2_u64,), (u64::MAX,), (4,)], &mut input).unwrap();
    let mut output = Vec::new();
    let square = TaskEntry::of(&square).unwrap();
    square.run_chunk(&input, &mut output).unwrap();
    let results: Vec<Result<u64, tasks::Panic>> = tasks::decode(&output).unwrap();
    let results: Vec<_> = results
        .into_iter()
        .map(|result| result.map_err(JoinError::from))
        .collect();
    assert!(
        matches!(results[..], [Ok(4), Err(_), Ok(16)]),
        "{results:?}"
    );
    let error = results[1].as_ref().unwrap_err();
    assert!(
        error.panic_message().unwrap().contains("overflow"),
        "{error}"
    );
    let panic = error.remote_panic().unwrap();
    assert!(panic.location.as_ref().unwrap().contains("tasks.rs"));
}

#[test]
fn what_is_no_argument_is_not_called() {
    let entry = TaskEntry::of(&join).unwrap();
    for input in [&[][..], &[200, 1], &[0, 0, 0]] {
        let error = entry.run(input, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, CallError::Decode(_)), "{error}");
    }
}

#[test]
fn a_full_output_is_an_error() {
    struct Small(usize);
    impl Output for Small {
        fn write(&mut self, bytes: &[u8]) -> Result<(), Overflow> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(Overflow)?;
            Ok(())
        }
    }
    tasks::encode(&"12345678", &mut Small(9)).unwrap();
    let error = tasks::encode(&"12345678", &mut Small(8)).unwrap_err();
    assert!(matches!(error, CallError::Overflow));
}

#[test]
fn a_refusal_says_what_to_do_and_gives_the_work_back() {
    let function = "program::thumbnail";
    let error = SubmitError::new(Refusal::NotATask { function }, (7,));
    // What `unwrap` prints.
    assert!(
        format!("{error:?}").contains("#[ropewalk::task]"),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains(function) && text.contains("#[ropewalk::task]"),
        "{text}"
    );
    assert_eq!(error.into_work(), (7,));
}
