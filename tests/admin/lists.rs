//! Lists: order, pages, filters.

use serde_json::{Value, json};

use crate::client::{Admin, nodes, route, start};

fn ids(body: &Value) -> Vec<String> {
    let list = body["list"].as_array().unwrap().iter();
    list.map(|item| item["value"]["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn pages_in_the_order_of_creation() {
    let (_gateway, mut admin) = start();
    let names: Vec<String> = (0..25).rev().map(|number| format!("r{number}")).collect();
    for name in &names {
        admin.put(&format!("/routes/{name}"), route("/a"));
    }
    admin.put("/routes/r24", route("/b"));
    let all = admin.get("/routes");
    assert_eq!((ids(&all.body), &all.body["total"]), (names.clone(), &json!(25)));
    for (query, range) in [
        ("page=1&page_size=10", 0..10),
        ("page=2&page_size=10", 10..20),
        ("page=3&page_size=10", 20..25),
        ("page=4&page_size=10", 25..25),
        ("page=0&page_size=500", 0..25),
        ("page=99999999999999999999&page_size=10", 25..25),
        ("page=1", 0..25),
        ("page_size=10", 0..25),
        ("page=x&page_size=10", 0..25),
    ] {
        let told = admin.get(&format!("/routes?{query}"));
        assert_eq!((told.status, ids(&told.body)), (200, names[range].to_vec()), "{query}");
        assert_eq!(told.body["total"], 25);
    }
    for size in ["9", "501", "0", "-10"] {
        let told = admin.get(&format!("/routes?page=1&page_size={size}"));
        assert_eq!(told.status, 400);
        assert_eq!(told.text, "page_size must be between 10 and 500");
        assert!(told.response.get("content-type").unwrap().starts_with("text/plain"));
    }
}

#[test]
fn filters() {
    let (_gateway, mut admin) = start();
    admin.put("/services/s1", json!({"upstream": nodes()}));
    let mut put = |id: &str, more: Value| {
        let mut value = route("/none");
        for (name, field) in more.as_object().unwrap() {
            value[name] = field.clone();
        }
        value.as_object_mut().unwrap().retain(|_, field| !field.is_null());
        admin.put(&format!("/routes/{id}"), value);
    };
    put("1", json!({"name": "shop-front", "uri": "/shop/*", "labels": {"env": "test"}}));
    put("2", json!({"name": "shop-back", "uri": null, "uris": ["/back", "/shop/admin"]}));
    put("3", json!({"name": "other", "labels": {"stage": "env"}, "service_id": "s1"}));
    put("4", json!({}));
    let mut told = |query: &str| {
        let told = admin.get(&format!("/routes?{query}"));
        assert_eq!(told.status, 200, "{query}: {}", told.text);
        assert_eq!(told.body["total"], ids(&told.body).len());
        ids(&told.body).join(" ")
    };
    for (query, expected) in [
        ("name=shop", "1 2"),
        ("name=%5Eshop-.*k%24", "2"),
        ("name=none", ""),
        ("uri=shop", "1 2"),
        ("uri=%5E/back", "2"),
        ("label=env", "1"),
        ("name=shop&label=env", "1"),
        ("filter=service_id%3Ds1", "3"),
        ("filter=service_id%3Ds2", ""),
        ("filter=service_id%3Ds1%26name%3Dother", "3"),
        ("name=shop&page=1&page_size=10", "1 2"),
    ] {
        assert_eq!(told(query), expected, "{query}");
    }
    let why = admin.refused("GET", "/routes?name=%5B", Value::Null);
    assert!(why.starts_with("invalid argument name: "), "{why}");
}

#[test]
fn a_large_list() {
    let (_gateway, mut admin) = start();
    for number in 0..600 {
        admin.put(&format!("/upstreams/{number}"), nodes());
    }
    let all = admin.get("/upstreams");
    assert_eq!(all.body["list"].as_array().unwrap().len(), 600);
    let page = admin.get("/upstreams?page=2&page_size=500");
    assert_eq!((ids(&page.body).len(), &page.body["total"]), (100, &json!(600)));
    let mut other = Admin::of(&_gateway);
    assert_eq!(other.get("/upstreams/599").status, 200);
}
