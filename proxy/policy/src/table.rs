//! Compiled routes: [`Table::decide`] says where a request goes.
