//! Keys, and which key this process uses for which manager.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::Address;

/// What client and server prove to each other that they know. Its bytes are never sent.
///
/// Any bytes but none will do; a key that can be guessed protects nothing, as who listens to a
/// connection can try keys at leisure. [`Key::random`] makes a good one.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// Makes 32 random bytes.
    ///
    /// # Errors
    ///
    /// If the system has no random bytes.
    pub fn random() -> io::Result<Key> {
        let mut bytes = vec![0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Key(bytes))
    }

    /// The bytes, to hand them to another process by a way that nobody listens to.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Refuses the empty key.
    pub(super) fn check(&self) -> io::Result<()> {
        match self.0.is_empty() {
            true => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a manager's key can't be empty",
            )),
            false => Ok(()),
        }
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Key {
        Key(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Key {
    fn from(bytes: &[u8; N]) -> Key {
        Key(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Key {
    fn from(bytes: Vec<u8>) -> Key {
        Key(bytes)
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Key {
        Key(text.as_bytes().to_vec())
    }
}

impl From<&Key> for Key {
    fn from(key: &Key) -> Key {
        key.clone()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

static KEYS: LazyLock<Mutex<HashMap<Address, Key>>> = LazyLock::new(Mutex::default);

/// Tells this process the key of a manager, for the proxies that come here by other ways than
/// through a [`Manager`](super::Manager) of this process.
///
/// [`Manager::connect`](super::Manager::connect) does it too. Not needed for managers on a
/// Unix socket of their own: those proxies find the key in the socket's directory.
pub fn set_key(address: impl Into<Address>, key: impl Into<Key>) {
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    keys.insert(address.into(), key.into());
}

/// The key that was set for a manager.
pub(super) fn key_of(address: &Address) -> Option<Key> {
    let keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    keys.get(address).cloned()
}
