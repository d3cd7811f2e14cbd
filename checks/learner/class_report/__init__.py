"""A class: many learners' notebooks graded, each in a process of its own, as a table and pages."""
