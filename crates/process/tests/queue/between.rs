//! Several producers and consumers in several processes.

use ropewalk_process::Queue;

use crate::stage::on_each;
use crate::start;

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn produce(queue: Queue<(u32, u32)>, producer: u32, items: u32) {
    for item in 0..items {
        queue.put((producer, item)).unwrap();
    }
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn consume(queue: Queue<(u32, u32)>) -> Vec<(u32, u32)> {
    queue.iter().collect()
}

#[test]
fn each_item_comes_to_one_consumer_and_in_order() {
    on_each(|| {
        let queue = Queue::new(10).unwrap();
        let producers: Vec<_> = (0..2)
            .map(|producer| start(produce, (queue.clone(), producer, 500)))
            .collect();
        let consumers: Vec<_> = (0..2).map(|_| start(consume, (queue.clone(),))).collect();
        produce(queue.clone(), 2, 500);
        for producer in producers {
            producer.join().unwrap();
        }
        queue.close();
        let mut all = consume(queue);
        for consumer in consumers {
            let got = consumer.join().unwrap();
            for producer in 0..3 {
                let items: Vec<_> = got.iter().filter(|item| item.0 == producer).collect();
                assert!(items.is_sorted(), "{items:?}");
            }
            all.extend(got);
        }
        all.sort_unstable();
        let expected = (0..3).flat_map(|producer| (0..500).map(move |item| (producer, item)));
        assert!(all.into_iter().eq(expected));
    });
}

/// There and back: each waits for the other at each step.
#[ropewalk_macros::task(crate = ropewalk_rt)]
fn answer(questions: Queue<String>, answers: Queue<usize>) {
    for question in questions.iter() {
        answers.put(question.len()).unwrap();
    }
}

#[test]
fn questions_are_answered() {
    on_each(|| {
        let questions = Queue::new(1).unwrap();
        let answers = Queue::new(1).unwrap();
        let process = start(answer, (questions.clone(), answers.clone()));
        for len in 0..200 {
            questions.put("?".repeat(len)).unwrap();
            assert_eq!(answers.get().unwrap(), len);
        }
        questions.close();
        process.join().unwrap();
    });
}
