//! Is this statement allowed? Two layers: our own lexer, then facts from the grammar.
