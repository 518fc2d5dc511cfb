use super::*;

#[test]
fn no_path_has_two_routes_and_every_route_finds_itself() {
    for (i, route) in ROUTES.iter().enumerate() {
        assert!(ROUTES[i + 1..].iter().all(|other| other.path != route.path), "{}", route.path);
        let path = route.path.replace('*', "x");
        assert!(std::ptr::eq(find(&path).unwrap(), route), "{path}");
    }
}

#[test]
fn a_star_is_one_part_of_a_path() {
    for (path, want) in [
        ("/api/v1/label/job/values", Some("job")),
        ("/api/v1/label/a%2Fb/values", Some("a%2Fb")),
        ("/api/v1/label//values", None),
        ("/api/v1/label/a/b/values", None),
        ("/api/v1/label/values", None),
    ] {
        assert_eq!(find(path).map(|route| route.variable(path)), want, "{path}");
    }
}

#[test]
fn influx_doors_are_under_prefixes_and_others_are_not() {
    for (path, found) in [
        ("/influx/write", true),
        ("/influxdb/api/v2/write", true),
        ("/influx/query", true),
        ("/influx/api/v1/query", false),
        ("/influx/-/quit", false),
        ("/influx/influx/write", false),
        ("/write/", false),
    ] {
        assert_eq!(find(path).is_some(), found, "{path}");
    }
    assert_eq!(tidy("//write"), "/write");
    assert_eq!(tidy("/influx///write"), "/influx/write");
}
