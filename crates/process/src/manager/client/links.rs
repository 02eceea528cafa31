//! The links of this process: one for each manager, while somebody uses it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use ropewalk_rt::sync;
use ropewalk_rt::sync::MutexExt;

use super::super::key::{Key, set_key};
use super::super::{Address, Error, Result};
use super::link::Link;

/// The link to one address; locked while somebody connects there.
type Place = Arc<sync::Mutex<Weak<Link>>>;

static LINKS: LazyLock<Mutex<HashMap<Address, Place>>> = LazyLock::new(Mutex::default);

/// The link to a manager; connects if there is none. Without a key, with the one that this
/// process knows.
pub(in super::super) fn link_to(address: &Address, key: Option<&Key>) -> Result<Arc<Link>> {
    let place = place(address);
    let mut place = place.lock_cancellable().map_err(|_| Error::Cancelled)?;
    if let Some(link) = place.upgrade()
        && !link.is_lost()
        && key.is_none_or(|key| *key == link.key)
    {
        return Ok(link);
    }
    let known = match key {
        Some(key) => key.clone(),
        None => address.key()?,
    };
    let link = Link::open(address, &known)?;
    if key.is_some() {
        set_key(address, known);
    }
    *place = Arc::downgrade(&link);
    Ok(link)
}

fn place(address: &Address) -> Place {
    let mut links = LINKS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(place) = links.get(address) {
        return Arc::clone(place);
    }
    // Those that nobody uses any more go when others come.
    links.retain(|_, place| {
        let in_use = Arc::strong_count(place) > 1;
        in_use || place.try_lock().is_none_or(|link| link.strong_count() > 0)
    });
    Arc::clone(links.entry(address.clone()).or_default())
}
