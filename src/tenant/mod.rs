//! Where may they go: directory of tenants, placement, route.
