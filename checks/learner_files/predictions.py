"""What the learner expects before a measurement, and the guess beside the figure after it."""

from checks.learner_files import progress, this_notebook

_here: dict[str, dict[str, str | bool]] = {}  # of notebooks that keep nothing, until they end


def predict(prediction: str, guess: object = None) -> None:
    """Afterwards the guess is known to `truth`, and in `work/` kept on the board.

    None goes on without one. A guess made after the truth was shown is kept as a second one.
    """
    if guess is None:
        print(f"{prediction}: no guess yet. Write one in place of None, or go on.")
        return
    kept = _kept(prediction)
    which = "second" if kept.get("shown") and kept.get("guess") != str(guess) else "guess"
    _keep(prediction, **{which: str(guess)})
    print(f"{prediction}: your {'second guess' if which == 'second' else 'guess'} is {guess}")


def truth(prediction: str, measured: object) -> None:
    """Shows the guess and what was measured together."""
    kept = _kept(prediction)
    guesses = [f"your guess: {kept['guess']}"] if "guess" in kept else []
    guesses += [f"second guess, after the truth: {kept['second']}"] if "second" in kept else []
    print(f"{prediction} · " + " · ".join([*guesses, f"measured: {measured}"]))
    if guesses:
        _keep(prediction, shown=True)


def _kept(prediction: str) -> dict[str, str | bool]:
    if this_notebook.is_learners():
        return progress.read().get(prediction, {})
    return _here.get(prediction, {})


def _keep(prediction: str, **news: str | bool) -> None:
    if this_notebook.is_learners():
        progress.keep(prediction, **news)
    else:
        _here[prediction] = _here.get(prediction, {}) | news
