//! Types of the user's, served by a manager: methods by name.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::value::{Value, unpack};
use super::{Refusal, value};

/// A type whose objects a manager can hold, and whose methods other processes call.
///
/// Tell servers of it with [`served!`](crate::served), or
/// [`Builder::register`](super::Builder::register) for one server.
///
/// Methods take `&self` and are called from several coroutines at once, so what they change is
/// behind locks. One that waits holds nobody else up. The wait of one whose caller is gone, or
/// was cancelled, is cancelled.
///
/// # Examples
///
/// ```
/// use std::sync::atomic::{AtomicI64, Ordering};
/// use ropewalk_process::manager::{Manager, Methods, Served};
///
/// struct Account(AtomicI64);
///
/// impl Served for Account {
///     const NAME: &'static str = "Account";
///     type Args = i64;
///
///     fn create(balance: i64) -> Result<Account, String> {
///         Ok(Account(AtomicI64::new(balance)))
///     }
///
///     fn methods(methods: &mut Methods<Account>) {
///         methods.add("deposit", |account, sum: i64| {
///             account.0.fetch_add(sum, Ordering::Relaxed) + sum
///         });
///     }
/// }
///
/// ropewalk_process::served!(Account);
///
/// let server = Manager::builder().serve()?;
/// let account = server.manager()?.object::<Account>(100)?;
/// assert_eq!(account.call::<i64>("deposit", 20)?, 120);
/// # Ok::<(), ropewalk_process::manager::Error>(())
/// ```
pub trait Served: Send + Sync + Sized + 'static {
    /// What it is called between processes.
    const NAME: &'static str;

    /// What an object is made from.
    type Args: Serialize + DeserializeOwned;

    /// Makes an object, at the server.
    ///
    /// # Errors
    ///
    /// What the caller shall see, as [`Refusal::Failed`].
    fn create(args: Self::Args) -> Result<Self, String>;

    /// Names the methods.
    fn methods(methods: &mut Methods<Self>);
}

type Method<T> = Box<dyn Fn(&T, &[u8]) -> Result<Value, Refusal> + Send + Sync>;

/// The methods of a type; see [`Served::methods`].
pub struct Methods<T> {
    by_name: HashMap<&'static str, Method<T>>,
}

impl<T: Served> Methods<T> {
    /// Adds a method. Several arguments are a tuple, none is `()`. A second one of the same
    /// name replaces the first.
    pub fn add<A, R, F>(&mut self, name: &'static str, method: F)
    where
        A: DeserializeOwned,
        R: Serialize,
        F: Fn(&T, A) -> R + Send + Sync + 'static,
    {
        self.try_add(name, move |object, args| Ok(method(object, args)));
    }

    /// Adds a method that may fail: the caller sees the error as [`Refusal::Failed`].
    pub fn try_add<A, R, F>(&mut self, name: &'static str, method: F)
    where
        A: DeserializeOwned,
        R: Serialize,
        F: Fn(&T, A) -> Result<R, String> + Send + Sync + 'static,
    {
        let method = move |object: &T, args: &[u8]| {
            let args = unpack(args).map_err(|error| unsuitable(name, &error))?;
            let result = method(object, args).map_err(Refusal::Failed)?;
            Value::of(&result).map_err(|error| unsuitable(name, &error))
        };
        self.by_name.insert(name, Box::new(method));
    }
}

impl<T> fmt::Debug for Methods<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

fn unsuitable(name: &str, error: &super::Error) -> Refusal {
    Refusal::Unsuitable(format!("\"{name}\": {error}"))
}

/// A type that servers know.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct ServedType {
    pub(super) name: &'static str,
    make: Make,
}

/// Makes an object of encoded arguments.
type Make = fn(&[u8]) -> Result<Arc<dyn Instance>, Refusal>;

impl ServedType {
    #[doc(hidden)]
    pub const fn of<T: Served>() -> ServedType {
        ServedType {
            name: T::NAME,
            make: make::<T>,
        }
    }

    /// Makes an object. Runs the user's code.
    pub(super) fn make(&self, args: &Value) -> Result<Arc<dyn Instance>, Refusal> {
        let args = encode(args)?;
        contained(|| (self.make)(&args))
    }
}

inventory::collect!(ServedType);

/// Makes types known to the managers of this program: each a
/// [`Served`](crate::manager::Served). Stands outside functions, or in them.
#[macro_export]
macro_rules! served {
    ($($type:ty),+ $(,)?) => {
        $($crate::manager::__private::inventory::submit! {
            $crate::manager::__private::ServedType::of::<$type>()
        })+
    };
}

/// An object of a type of the user's.
pub(super) trait Instance: Send + Sync {
    fn call(&self, method: &str, args: &[u8]) -> Result<Value, Refusal>;
}

impl dyn Instance {
    /// Calls a method. Runs the user's code; a panic in it is the caller's error.
    pub(super) fn run(&self, method: &str, args: &Value) -> Result<Value, Refusal> {
        let args = encode(args)?;
        contained(|| self.call(method, &args))
    }
}

struct Made<T> {
    object: T,
    methods: Methods<T>,
}

impl<T: Served> Instance for Made<T> {
    fn call(&self, method: &str, args: &[u8]) -> Result<Value, Refusal> {
        match self.methods.by_name.get(method) {
            Some(method) => method(&self.object, args),
            None => Err(Refusal::NoSuchMethod(method.to_owned())),
        }
    }
}

fn make<T: Served>(args: &[u8]) -> Result<Arc<dyn Instance>, Refusal> {
    let args = unpack(args).map_err(|error| unsuitable(T::NAME, &error))?;
    let object = T::create(args).map_err(Refusal::Failed)?;
    let mut methods = Methods {
        by_name: HashMap::new(),
    };
    T::methods(&mut methods);
    Ok(Arc::new(Made { object, methods }))
}

fn encode(args: &Value) -> Result<Vec<u8>, Refusal> {
    value::pack(args).map_err(|error| Refusal::BadRequest(error.to_string()))
}

fn contained<R>(f: impl FnOnce() -> Result<R, Refusal>) -> Result<R, Refusal> {
    catch_unwind(AssertUnwindSafe(f))
        .unwrap_or_else(|payload| Err(Refusal::Panicked(text(&*payload))))
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("(not a text)").to_owned()
}
