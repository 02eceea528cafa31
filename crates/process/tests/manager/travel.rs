//! Proxies as values.

use ropewalk_process::manager::{
    DictProxy, Error, ListProxy, Manager, NamespaceProxy, Server, set_key,
};

use super::children::{Other, decode};
use super::stage::{await_stats, on_each, served};

#[test]
fn proxies_travel_inside_other_objects() {
    on_each(|| {
        let (_server, manager) = served();
        let outer = manager.dict().unwrap();
        {
            let inner = manager.list().unwrap();
            inner.push("within").unwrap();
            outer.insert("inner", &inner).unwrap();
        }
        // Nobody has a proxy of it at the moment; who sent it is still there.
        let inner: ListProxy = outer.get("inner").unwrap().unwrap();
        assert_eq!(inner.to_vec::<String>().unwrap(), ["within"]);
        assert_eq!(inner.clone(), inner);
        let wrong = outer.get::<DictProxy>("inner").unwrap_err();
        assert!(wrong.to_string().contains("list"), "{wrong}");
    });
}

#[test]
fn a_namespace_is_a_dict_too() {
    let (_server, manager) = served();
    let space = manager.namespace().unwrap();
    let bytes = postcard::to_stdvec(&space.as_dict()).unwrap();
    let dict: DictProxy = postcard::from_bytes(&bytes).unwrap();
    dict.insert("x", 1).unwrap();
    let space: NamespaceProxy = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(space.get::<u8>("x").unwrap(), 1);
}

fn over_tcp(key: &str) -> Server {
    Manager::builder()
        .bind("127.0.0.1:0")
        .key(key)
        .serve()
        .unwrap()
}

#[test]
fn the_key_does_not_travel() {
    let server = over_tcp("a key that is easily found");
    let list = server.manager().unwrap().list().unwrap();
    let bytes = postcard::to_stdvec(&list).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(
        !text.contains("easily") && text.contains("127.0.0.1"),
        "{text}"
    );
    assert!(!format!("{:?}", server.key()).contains("easily"));
}

pub(crate) fn arrive_without_key(orders: &[u8]) {
    let (list, address): (ListProxy, String) = decode(orders);
    let refused = list.push(1).unwrap_err();
    assert!(matches!(refused, Error::NoKey(_)), "{refused}");
    set_key(address.as_str(), "wrong");
    let refused = list.push(1).unwrap_err();
    assert!(matches!(refused, Error::WrongKey), "{refused}");
    set_key(address.as_str(), "right");
    list.push(1).unwrap();
}

#[test]
fn the_receiver_is_told_the_key() {
    let server = over_tcp("right");
    let manager = server.manager().unwrap();
    let list = manager.list().unwrap();
    Other::start("no-key", &(&list, server.address().to_string())).finish();
    assert_eq!(list.len().unwrap(), 1);
    assert_eq!(server.wrong_keys(), 1);
    assert_eq!(server.last_refusal().unwrap(), "a client has another key");
    await_stats(&manager, "the other to be gone", |stats| stats.clients == 1);
}

#[test]
fn another_manager_at_the_same_address_is_told_apart() {
    // An address that no other test has: else one might get the port in between.
    let first = Manager::builder().bind("127.0.1.1:0").key("k");
    let server = first.serve().unwrap();
    let address = server.address().clone();
    let bytes = postcard::to_stdvec(&server.manager().unwrap().list().unwrap()).unwrap();
    drop(server);
    let _other = Manager::builder().bind(&address).key("k").serve().unwrap();
    let list: ListProxy = postcard::from_bytes(&bytes).unwrap();
    let refused = list.push(1).unwrap_err();
    assert!(matches!(refused, Error::OtherManager), "{refused}");
}

#[test]
fn a_gone_object_is_an_error() {
    let (server, manager) = served();
    let bytes = {
        let sender = server.manager().unwrap();
        postcard::to_stdvec(&sender.list().unwrap()).unwrap()
    };
    drop(manager);
    // The process that sent it has left.
    let manager = server.manager().unwrap();
    await_stats(&manager, "the sender to be gone", |stats| {
        stats.clients == 1
    });
    let list: ListProxy = postcard::from_bytes(&bytes).unwrap();
    let gone = list.len().unwrap_err();
    assert_eq!(gone.to_string(), "the manager has no such object");
}
