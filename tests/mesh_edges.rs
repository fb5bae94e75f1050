//! Edges of the mesh, one test each, on fake rings that do as they are told: shards that do not turn while others want
//! something of them, links with room for one message, connections that die or stop while a home is asked. The random
//! counterpart is `mesh_faults`.

mod mesh_edges {
    mod deflate;
    mod gathering;
    mod interest;
    mod publishing;
    mod shards;
}
