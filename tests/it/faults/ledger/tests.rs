//! The books find what is wrong in made-up histories.
