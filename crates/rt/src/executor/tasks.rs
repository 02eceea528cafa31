//! The table of tasks: functions that other processes of this program can be told to call.
//!
//! `#[ropewalk::task]` and `ropewalk::register!` put an entry for each function into the
//! program when it is linked (crate `inventory`), so that the table is there before `main`. It
//! is sorted by name, and a task's number is its place: two processes of the same program have
//! the same numbers, which they check by the table's hash. A function is looked up by the type
//! that it alone has.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::panics;
use super::task::{Portable, TaskFn};
use crate::{JoinError, RemotePanic};

#[doc(hidden)]
pub use inventory;

/// Takes what is encoded, piece by piece.
pub trait Output {
    /// Takes the next piece.
    ///
    /// # Errors
    ///
    /// [`Overflow`] if there is no more room.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Overflow>;
}

impl Output for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Overflow> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// An [`Output`] had no more room.
#[derive(Clone, Copy, Debug)]
pub struct Overflow;

/// Why a task gave no result, other than by panicking.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The arguments can't be read.
    Decode(postcard::Error),
    /// The result can't be serialised.
    Encode(postcard::Error),
    /// There was no room for the result.
    Overflow,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Decode(error) => write!(f, "the arguments can't be read: {error}"),
            CallError::Encode(error) => write!(f, "the result can't be serialised: {error}"),
            CallError::Overflow => f.write_str("there is no room for the result"),
        }
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            CallError::Decode(error) | CallError::Encode(error) => Some(error),
            CallError::Overflow => None,
        }
    }
}

/// Serialises a value, in postcard's format: compact, and only for processes of one build.
///
/// # Errors
///
/// What the value's own `Serialize` gives, and [`CallError::Overflow`].
pub fn encode<T: Serialize + ?Sized>(value: &T, output: &mut dyn Output) -> Result<(), CallError> {
    struct Flavor<'o>(&'o mut dyn Output);
    impl postcard::ser_flavors::Flavor for Flavor<'_> {
        type Output = ();

        fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
            self.try_extend(&[byte])
        }

        fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
            let written = self.0.write(bytes);
            written.map_err(|Overflow| postcard::Error::SerializeBufferFull)
        }

        fn finalize(self) -> postcard::Result<()> {
            Ok(())
        }
    }
    postcard::serialize_with_flavor(value, Flavor(output)).map_err(|error| match error {
        postcard::Error::SerializeBufferFull => CallError::Overflow,
        other => CallError::Encode(other),
    })
}

/// Reads what [`encode`] wrote.
///
/// # Errors
///
/// [`CallError::Decode`] if the bytes are no such value, or more than it.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CallError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(CallError::Decode(postcard::Error::SerdeDeCustom)),
        Err(error) => Err(CallError::Decode(error)),
    }
}

/// One registered task.
pub struct TaskEntry {
    name: &'static str,
    file: &'static str,
    line: u32,
    describe: fn() -> Function,
    run: Run,
    run_chunk: Run,
    load: Load,
}

/// Reads arguments; what it gives calls.
type Load = fn(&[u8]) -> Result<Loaded, CallError>;

/// A call whose arguments have been read; what it gives writes the result.
pub type Loaded = Box<dyn FnOnce() -> Returned>;

/// A result that has not been written.
pub type Returned = Box<dyn FnOnce(&mut dyn Output) -> Result<(), CallError>>;

/// Reads arguments, calls, writes the result.
type Run = fn(&[u8], &mut dyn Output) -> Result<(), CallError>;

/// What is known of a function by its type.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Function {
    id: TypeId,
    args: &'static str,
    output: &'static str,
}

inventory::collect!(TaskEntry);

impl TaskEntry {
    /// For the macros, which name the function in each of the closures.
    #[doc(hidden)]
    pub const fn new(
        name: &'static str,
        (file, line): (&'static str, u32),
        describe: fn() -> Function,
        run: Run,
        run_chunk: Run,
        load: Load,
    ) -> TaskEntry {
        TaskEntry {
            name,
            file,
            line,
            describe,
            run,
            run_chunk,
            load,
        }
    }

    /// The entry of a function, if it is registered.
    pub fn of<F, A>(_function: &F) -> Option<&'static TaskEntry>
    where
        F: TaskFn<A>,
    {
        let table = table();
        let index = table.by_type.get(&TypeId::of::<F>())?;
        Some(table.entries[*index as usize])
    }

    /// The task with a number.
    pub fn by_index(index: u32) -> Option<&'static TaskEntry> {
        table().entries.get(index as usize).copied()
    }

    /// The task with a name.
    pub fn by_name(name: &str) -> Option<&'static TaskEntry> {
        let entries = &table().entries;
        let found = entries.binary_search_by(|entry| entry.name.cmp(name));
        found.ok().map(|at| entries[at])
    }

    /// The number, which is the same in all processes of one program.
    pub fn index(&self) -> u32 {
        let entries = &table().entries;
        let found = entries.binary_search_by(|entry| entry.name.cmp(self.name));
        found.expect("an entry is in the table") as u32
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The types of arguments and result, for messages.
    pub fn signature(&self) -> String {
        let function = (self.describe)();
        format!("{} -> {}", function.args, function.output)
    }

    /// Calls the function: reads the tuple of its arguments from `input`, and writes what it
    /// returns to `output`. A panic goes through.
    ///
    /// # Errors
    ///
    /// [`CallError`]; without a call, if the arguments can't be read.
    pub fn run(&self, input: &[u8], output: &mut dyn Output) -> Result<(), CallError> {
        (self.run)(input, output)
    }

    /// As [`run`](Self::run) for each tuple of a list of them, giving a list of results, in
    /// which a panic is an [`Err`] of [`Panic`].
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_chunk(&self, input: &[u8], output: &mut dyn Output) -> Result<(), CallError> {
        (self.run_chunk)(input, output)
    }

    /// As [`run`](Self::run) in three steps, for who does something around reading and
    /// writing, but not around the call.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), each step its own.
    pub fn load(&self, input: &[u8]) -> Result<Loaded, CallError> {
        (self.load)(input)
    }
}

impl fmt::Debug for TaskEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskEntry")
            .field("name", &self.name)
            .field("signature", &self.signature())
            .finish_non_exhaustive()
    }
}

/// For the macros: what is to be known of a function.
#[doc(hidden)]
pub fn describe<F, A>(_function: F) -> Function
where
    F: TaskFn<A>,
    A: Portable,
    F::Output: Portable,
{
    const {
        assert!(
            size_of::<F>() == 0,
            "register a function by its name: pointers to functions have one type for all of them"
        );
    }
    Function {
        id: TypeId::of::<F>(),
        args: type_name::<A>(),
        output: type_name::<F::Output>(),
    }
}

/// For the macros: calls a function.
#[doc(hidden)]
pub fn run<F, A>(function: F, input: &[u8], output: &mut dyn Output) -> Result<(), CallError>
where
    F: TaskFn<A>,
    A: Portable,
    F::Output: Portable,
{
    let args = decode::<A>(input)?;
    encode(&function.call(args), output)
}

/// For the macros: calls a function in steps.
#[doc(hidden)]
pub fn load<F, A>(function: F, input: &[u8]) -> Result<Loaded, CallError>
where
    F: TaskFn<A>,
    A: Portable,
    F::Output: Portable,
{
    let args = decode::<A>(input)?;
    Ok(Box::new(move || {
        let result = function.call(args);
        Box::new(move |output| encode(&result, output))
    }))
}

/// For the macros: calls a function for each of a list.
#[doc(hidden)]
pub fn run_chunk<F, A>(function: F, input: &[u8], output: &mut dyn Output) -> Result<(), CallError>
where
    F: TaskFn<A>,
    A: Portable,
    F::Output: Portable,
{
    let list = decode::<Vec<A>>(input)?;
    let results: Vec<Result<F::Output, Panic>> = list
        .into_iter()
        .map(|args| panics::catch(|| function.call(args)).map_err(Panic::from))
        .collect();
    encode(&results, output)
}

/// A panic on its way to another process.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Panic(RemotePanic);

impl From<RemotePanic> for Panic {
    fn from(panic: RemotePanic) -> Panic {
        Panic(panic)
    }
}

impl From<Panic> for JoinError {
    fn from(Panic(panic): Panic) -> JoinError {
        let panic: Box<dyn Any + Send> = Box::new(panic);
        JoinError::Panicked(panic.into())
    }
}

impl Serialize for Panic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Panic(panic) = self;
        (&panic.message, &panic.location, &panic.backtrace, panic.pid).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Panic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Panic, D::Error> {
        let (message, location, backtrace, pid) = Deserialize::deserialize(deserializer)?;
        Ok(Panic(RemotePanic {
            message,
            location,
            backtrace,
            pid,
        }))
    }
}

/// Registers functions as tasks by hand: those of other crates, and generic ones with their types.
///
/// Stands where items stand. Names are the program's: a doubled one is an error at start.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::executor::tasks::TaskEntry;
///
/// fn largest<T: Ord>(list: Vec<T>) -> Option<T> {
///     list.into_iter().max()
/// }
///
/// ropewalk_rt::register! {
///     "largest-u32" => largest::<u32>,
///     "largest-string" => largest::<String>,
/// }
///
/// assert_eq!(TaskEntry::of(&largest::<u32>).unwrap().name(), "largest-u32");
/// assert!(TaskEntry::of(&largest::<i8>).is_none());
/// ```
///
/// A pointer to a function is not enough to tell which one it is:
///
/// ```compile_fail
/// fn double(n: u64) -> u64 {
///     2 * n
/// }
///
/// ropewalk_rt::register! {
///     "double" => double as fn(u64) -> u64,
/// }
/// ```
#[macro_export]
macro_rules! register {
    ($($name:expr => $function:expr),+ $(,)?) => {
        $(
            $crate::executor::tasks::inventory::submit! {
                $crate::executor::tasks::TaskEntry::new(
                    $name,
                    (::core::file!(), ::core::line!()),
                    || $crate::executor::tasks::describe($function),
                    |input, output| $crate::executor::tasks::run($function, input, output),
                    |input, output| $crate::executor::tasks::run_chunk($function, input, output),
                    |input| $crate::executor::tasks::load($function, input),
                )
            }
        )+
    };
}

struct Table {
    /// By name.
    entries: Vec<&'static TaskEntry>,
    by_type: HashMap<TypeId, u32>,
    hash: u64,
    error: Option<TableError>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut entries: Vec<&TaskEntry> = inventory::iter::<TaskEntry>.into_iter().collect();
        entries.sort_by_key(|entry| (entry.name, entry.file, entry.line));
        let mut error = None;
        let mut hash = Fnv::new();
        let mut by_type = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            let function = (entry.describe)();
            for part in [entry.name, function.args, function.output] {
                hash.add(part.as_bytes());
                hash.add(&[0]);
            }
            // One function under two names is called by either.
            by_type.entry(function.id).or_insert(index as u32);
            if let Some(before) = index.checked_sub(1).map(|before| entries[before])
                && before.name == entry.name
                && error.is_none()
            {
                error = Some(TableError {
                    name: entry.name,
                    places: [(before.file, before.line), (entry.file, entry.line)],
                });
            }
        }
        Table {
            entries,
            by_type,
            hash: hash.0,
            error,
        }
    })
}

/// The hash of all tasks' names and types: equal in two processes of the same program.
pub fn table_hash() -> u64 {
    table().hash
}

/// All tasks, by name.
pub fn all() -> &'static [&'static TaskEntry] {
    &table().entries
}

/// Looks whether the table is sound. Pools of processes do so when they are made, and
/// `#[ropewalk::main]` when the program starts.
///
/// # Errors
///
/// [`TableError`] if two tasks have the same name.
pub fn check() -> Result<(), TableError> {
    match &table().error {
        Some(error) => Err(error.clone()),
        None => Ok(()),
    }
}

/// Two tasks have the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableError {
    /// The name.
    pub name: &'static str,
    /// Where the two are registered: file and line.
    pub places: [(&'static str, u32); 2],
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [(file, line), (other, there)] = self.places;
        write!(
            f,
            "two tasks are called \"{}\": at {file}:{line} and at {other}:{there}; give one of \
             them another name, as in `#[ropewalk::task(name = \"…\")]`",
            self.name
        )
    }
}

impl Error for TableError {}

/// The hash function FNV-1a, 64 bits (Fowler, Noll, Vo; RFC 9923): the same in every build.
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
