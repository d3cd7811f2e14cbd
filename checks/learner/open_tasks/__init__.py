"""The open tasks of the lessons: what each one measures of an answer."""
