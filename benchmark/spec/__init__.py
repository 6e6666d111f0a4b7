"""What is asked: recipes, shapes and what a task and an arm promise in; a `RunSpec` with an id of its own out. No torch."""
