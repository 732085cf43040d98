use super::super::clock::cpu_ns;
use super::super::series::Admission;
use super::*;

fn labels(route: &str, uri: &str) -> RouteLabels {
    RouteLabels {
        route: route.into(),
        service: "".into(),
        matched_uri: uri.into(),
        matched_host: "".into(),
        disabled: Default::default(),
    }
}

fn sample(consumer: &str, node: u8, status: u16) -> Sample<'_> {
    Sample {
        consumer,
        node: Some(IpAddr::from([127, 0, 0, node])),
        status,
        request_us: 1_500,
        upstream_us: Some(1_000),
        bytes_in: 10,
        bytes_out: 20,
        source: Source::Upstream,
        extra: "",
    }
}

#[test]
fn equal_labels_share_a_base() {
    let bases = Bases::default();
    let one = bases.intern(labels("1", "/a"));
    assert!(Arc::ptr_eq(&one, &bases.intern(labels("1", "/a"))));
    assert_ne!(one.id, bases.intern(labels("2", "/a")).id);
}

#[test]
fn shards_merge_by_labels() {
    let bases = Bases::default();
    let (a, b) = (bases.intern(labels("1", "/a")), bases.intern(labels("1", "/b")));
    let (mut one, mut two) = (LabelledSeries::new(100), LabelledSeries::new(100));
    one.record(&b, &Arc::default(), &sample("jack", 1, 200));
    one.record(&a, &Arc::default(), &sample("jack", 1, 200));
    two.record(&a, &Arc::default(), &sample("jack", 1, 200));
    two.record(&a, &Arc::default(), &sample("", 1, 502));
    let mut all = one.snapshot();
    all.merge(&two.snapshot());
    let series = Admission::new(100).admit(&all);
    let statuses: Vec<_> = series
        .statuses
        .iter()
        .map(|(key, count)| (&*key.matched_uri, &*key.service.consumer, key.code, *count))
        .collect();
    assert_eq!(
        statuses,
        [("/a", "", 502, 1), ("/a", "jack", 200, 2), ("/b", "jack", 200, 1)],
        "the URI is a label of statuses"
    );
    let latencies: Vec<_> = series
        .latencies
        .iter()
        .map(|(key, latencies)| (&*key.consumer, latencies.request.count()))
        .collect();
    assert_eq!(latencies, [("", 1), ("jack", 3)], "but not of latencies");
    let bandwidth: u64 = series.bandwidths.values().map(|bandwidth| bandwidth.egress).sum();
    assert_eq!(bandwidth, 80);
    assert_eq!(series.dropped, 0);
}

#[test]
fn labels_of_the_operator_tell_groups_apart_and_stay_within_the_bound() {
    let attributes = serde_json::json!({"metrics": {
        "http_status": {"extra_labels": [{"a": "$x"}]},
        "bandwidth": {"extra_labels": [{"b": "$y"}, {"c": "$z"}]},
    }});
    let shape = Shape::read(&attributes).unwrap();
    let base = Bases::default().intern(labels("1", "/a"));
    let mut series = LabelledSeries::new(30);
    for extra in ["1\0y\0", "2\0y\0", "1\0y\0z"] {
        series.record(&base, &shape, &Sample { extra, ..sample("", 1, 200) });
    }
    let mut admission = Admission::new(30);
    let told = admission.admit(&series.snapshot());
    let statuses: Vec<_> =
        told.statuses.iter().map(|(key, count)| (&*key.service.extra[0], *count)).collect();
    assert_eq!(statuses, [("1", 2), ("2", 1)]);
    let bandwidth: Vec<_> = told
        .bandwidths
        .iter()
        .map(|(key, sum)| ((&*key.extra[0], &*key.extra[1]), sum.egress))
        .collect();
    assert_eq!(bandwidth, [(("y", ""), 40), (("y", "z"), 20)]);
    assert_eq!(told.latencies.len(), 1, "it has none of its own");
    for number in 0..1000 {
        let extra = format!("{number}\0\0");
        series.record(&base, &shape, &Sample { extra: &extra, ..sample("", 1, 200) });
    }
    assert!(series.groups.len() <= 31 && series.extras.len() <= 31);
    let told = admission.admit(&series.snapshot());
    assert_eq!(told.statuses.values().sum::<u64>(), 1003, "nothing is lost");
    assert!(told.statuses.len() <= 31);
}

#[test]
fn past_the_bound_everything_goes_to_the_overflow_series() {
    let bases = Bases::default();
    let base = bases.intern(labels("1", "/a"));
    let mut series = LabelledSeries::new(30);
    for node in 0..200 {
        series.record(&base, &Arc::default(), &sample("", node, 200));
        series.record(&base, &Arc::default(), &sample("", node, 404));
    }
    assert!(series.groups.len() <= 31 && series.latencies.len() <= 11);
    let mut admission = Admission::new(30);
    let admitted = admission.admit(&series.snapshot());
    assert_eq!(admitted.statuses.values().sum::<u64>(), 400, "nothing is lost");
    assert!(admitted.statuses.len() <= 30 + 2, "the bound, and the overflow's two codes");
    assert!(admitted.latencies.len() <= 10 + 1);
    assert!(admitted.bandwidths.len() <= 15 + 1);
    assert!(admitted.dropped >= 340);
    assert!(admitted.statuses.keys().any(|key| &*key.service.route == "…other"));
    let count: u64 = admitted.latencies.values().map(|latencies| latencies.request.count()).sum();
    assert_eq!(count, 400);
}

#[test]
fn the_bound_holds_over_all_shards_and_admitted_series_stay() {
    let bases = Bases::default();
    let mut admission = Admission::new(10);
    let mut all = Labelled::default();
    let mut first = LabelledSeries::new(10);
    for node in 100..110 {
        first.record(&bases.intern(labels("z", "/")), &Arc::default(), &sample("", node, 200));
    }
    all.merge(&first.snapshot());
    let before = admission.admit(&all);
    assert_eq!(before.statuses.len(), 10);
    let mut second = LabelledSeries::new(10);
    for node in 0..10 {
        second.record(&bases.intern(labels("a", "/")), &Arc::default(), &sample("", node, 200));
    }
    all.merge(&second.snapshot());
    let after = admission.admit(&all);
    assert_eq!(after.statuses.len(), 11);
    for (key, count) in &before.statuses {
        assert_eq!(after.statuses.get(key), Some(count), "an admitted series never goes back");
    }
    assert!(after.dropped >= 10);
}

#[test]
fn labels_that_are_disabled_are_left_empty_by_metric() {
    let bases = Bases::default();
    let mut series = LabelledSeries::new(100);
    let mut disabled = Disabled::default();
    [Label::Node, Label::MatchedUri].into_iter().for_each(|label| disabled.status.insert(label));
    disabled.latency.insert(Label::Consumer);
    for (uri, consumer, node) in [("/a", "jack", 1), ("/a", "jill", 2), ("/b", "jill", 1)] {
        let base = bases.intern(RouteLabels { disabled, ..labels("1", uri) });
        series.record(&base, &Arc::default(), &sample(consumer, node, 200));
    }
    let admitted = Admission::new(100).admit(&series.snapshot());
    let statuses: Vec<_> = admitted
        .statuses
        .iter()
        .map(|(key, count)| (&*key.matched_uri, &*key.service.consumer, key.service.node, *count))
        .collect();
    assert_eq!(statuses, [("", "jack", None, 1), ("", "jill", None, 2)]);
    let latencies: Vec<_> = admitted
        .latencies
        .iter()
        .map(|(key, latencies)| (&*key.consumer, key.node.is_some(), latencies.request.count()))
        .collect();
    assert_eq!(latencies, [("", true, 2), ("", true, 1)], "one for each node");
    assert_eq!(admitted.bandwidths.len(), 3);

    // Where no metric tells a label, it takes no memory either.
    let mut all = LabelledSeries::new(100);
    for labels in [&mut disabled.status, &mut disabled.latency, &mut disabled.bandwidth] {
        labels.insert(Label::Node);
    }
    let base = bases.intern(RouteLabels { disabled, ..labels("1", "/a") });
    (0..50).for_each(|node| all.record(&base, &Arc::default(), &sample("", node, 200)));
    assert_eq!(all.groups.len(), 2);
}

/// Prints what one sample costs; run it with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "measures: cargo test --release cost_of_one_sample -- --ignored --nocapture"]
fn cost_of_one_sample() {
    let bases = Bases::default();
    let base = bases.intern(labels("1", "/a"));
    let mut series = LabelledSeries::new(SERIES_MAX);
    let shape = Arc::default();
    for consumer in ["", "jack"] {
        let rounds = 5_000_000_u64;
        let start = cpu_ns();
        for i in 0..rounds {
            let mut one = sample(consumer, (i % 4) as u8, 200);
            one.request_us = 40 + i % 5_000;
            series.record(&base, &shape, std::hint::black_box(&one));
        }
        let ps = (cpu_ns() - start) * 1_000 / rounds;
        println!("consumer {consumer:?}: {ps} ps per sample");
    }
}
