"""Old names of modules, kept importable for notebooks that were made before the modules moved.

`import helpers` installs a finder behind Python's own: only a name that is found nowhere else
reaches it.
"""

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Old module → new module.
MOVED = {
    "checks.biased_cases": "checks.d2_deepseek_moe.cases",
    "checks.board": "checks.learner_files.progress",
    "checks.carry": "checks.learner.carry",
    "checks.check": "checks.grading.check",
    "checks.compare": "checks.grading.comparison",
    "checks.d1_array": "checks.d1_moe.experts",
    "checks.d1_dispatch": "checks.d1_moe.dispatch",
    "checks.d1_layer": "checks.d1_moe.layer",
    "checks.d1_load": "checks.d1_moe.load",
    "checks.d1_router": "checks.d1_moe.router",
    "checks.d2_balance": "checks.d2_deepseek_moe.balancing.rebalance",
    "checks.d2_bias": "checks.d2_deepseek_moe.balancing.bias",
    "checks.d2_control": "checks.d2_deepseek_moe.balancing.control",
    "checks.d2_fine": "checks.d2_deepseek_moe.fine_grained",
    "checks.d2_groups": "checks.d2_deepseek_moe.groups",
    "checks.d2_layer": "checks.d2_deepseek_moe.layer",
    "checks.d2_router": "checks.d2_deepseek_moe.router",
    "checks.d2_segments": "checks.d2_deepseek_moe.segments",
    "checks.d2_shared": "checks.d2_deepseek_moe.shared",
    "checks.d3_absorbed": "checks.d3_mla.attention.absorbed",
    "checks.d3_attend": "checks.d3_mla.attention.attend",
    "checks.d3_cache": "checks.d3_mla.cache",
    "checks.d3_convert": "checks.d3_mla.conversion",
    "checks.d3_energy": "checks.d3_mla.energy",
    "checks.d3_key": "checks.d3_mla.rotary_key",
    "checks.d3_latent": "checks.d3_mla.joint_latent",
    "checks.d3_layer": "checks.d3_mla.attention.layer",
    "checks.d3_projections": "checks.d3_mla.projections",
    "checks.d3_queries": "checks.d3_mla.queries",
    "checks.d3_yarn": "checks.d3_mla.yarn",
    "checks.d4_block": "checks.d4_deepseek.block",
    "checks.d4_cases": "checks.d4_deepseek.cases",
    "checks.d4_count": "checks.d4_deepseek.count",
    "checks.d4_generate": "checks.d4_deepseek.generation.generate",
    "checks.d4_generation_cases": "checks.d4_deepseek.generation.generation_cases",
    "checks.d4_loss": "checks.d4_deepseek.training.loss",
    "checks.d4_mtp": "checks.d4_deepseek.mtp",
    "checks.d4_sample": "checks.d4_deepseek.generation.sample",
    "checks.d4_stack": "checks.d4_deepseek.stack",
    "checks.d4_train": "checks.d4_deepseek.training.train",
    "checks.d4_training_cases": "checks.d4_deepseek.training.training_cases",
    "checks.d4_worth": "checks.d4_deepseek.worth",
    "checks.expect": "checks.grading.expect",
    "checks.export": "checks.learner.export",
    "checks.frames": "checks.grading.traceback",
    "checks.given": "checks.grading.signature",
    "checks.latent_cases": "checks.d3_mla.cases",
    "checks.layouts": "checks.d1_moe.layouts",
    "checks.limit": "checks.grading.time_limit",
    "checks.mla_cases": "checks.d3_mla.attention.layer_cases",
    "checks.mutants": "checks.audit.mutants",
    "checks.notebook": "checks.learner_files.notebook",
    "checks.outcome": "checks.grading.result",
    "checks.places": "checks.learner_files.paths",
    "checks.routing_cases": "checks.d1_moe.cases",
    "checks.slips": "checks.audit.known_mistakes",
    "checks.source": "checks.grading.source",
    "checks.trial": "checks.grading.stage_run",
    "checks.validate": "checks.learner.validate",
    "helpers.alone": "checks.learner.export_main",
    "helpers.attention_plots": "helpers.plots.attention_plots",
    "helpers.attention_sizes": "helpers.model.attention_sizes",
    "helpers.balance_losses": "helpers.training_loops.balance_losses",
    "helpers.balancing": "helpers.training_loops.balancing",
    "helpers.cache_explorer": "helpers.plots.cache_explorer",
    "helpers.chance": "helpers.measuring.random_routing",
    "helpers.coherence": "helpers.story_world.coherence",
    "helpers.coloured_text": "helpers.plots.coloured_text",
    "helpers.conversion": "helpers.measuring.conversion",
    "helpers.corpus": "helpers.data.corpus",
    "helpers.curve_plots": "helpers.plots.curve_plots",
    "helpers.decode_steps": "helpers.measuring.decode_steps",
    "helpers.deepseek_config": "helpers.model.deepseek_config",
    "helpers.explorers": "helpers.plots.explorers",
    "helpers.fences": "helpers.solution_markers",
    "helpers.hf_attention": "helpers.checkpoints.hf_attention",
    "helpers.hf_model": "helpers.checkpoints.hf_model",
    "helpers.model.hf_attention": "helpers.checkpoints.hf_attention",
    "helpers.model.hf_model": "helpers.checkpoints.hf_model",
    "helpers.kv_cache": "helpers.model.kv_cache",
    "helpers.llama": "helpers.model.llama",
    "helpers.load_plots": "helpers.plots.load_plots",
    "helpers.memory": "helpers.measuring.memory",
    "helpers.palette": "helpers.plots.palette",
    "helpers.published": "helpers.model.published",
    "helpers.router_options": "helpers.model.router_options",
    "helpers.stories": "helpers.story_world.stories",
    "helpers.story_box": "helpers.plots.story_box",
    "helpers.story_measures": "helpers.measuring.story_measures",
    "helpers.story_plots": "helpers.plots.story_plots",
    "helpers.story_rows": "helpers.data.story_rows",
    "helpers.story_run": "helpers.training_loops.story_run",
    "helpers.texts": "helpers.data.texts",
    "helpers.timing": "helpers.measuring.timing",
    "helpers.traffic": "helpers.measuring.traffic",
    "helpers.traffic_plots": "helpers.plots.traffic_plots",
    "helpers.training": "helpers.training_loops.language_model",
}
# Names that also changed, by the old module they were imported from.
RENAMED = {
    "checks.slips": {"slips": "known_mistakes"},
    "helpers.attention_sizes": {"refuse_bad_sizes": "validate_sizes"},
    "helpers.router_options": {"refuse_bad_router": "validate_router"},
}


class MovedFinder(MetaPathFinder):
    """Finds a module under its old name."""

    def find_spec(self, fullname: str, path: object = None, target: object = None):
        return ModuleSpec(fullname, _Forwarding()) if fullname in MOVED else None


class _Forwarding(Loader):
    """Makes a module whose attributes are those of the module's new place."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return ModuleType(spec.name, f"Moved to {MOVED[spec.name]}.")

    def exec_module(self, module: ModuleType) -> None:
        new = importlib.import_module(MOVED[module.__name__])
        renamed = RENAMED.get(module.__name__, {})

        def current(name: str) -> object:
            return getattr(new, renamed.get(name, name))

        vars(module)["__getattr__"] = current


def install() -> None:
    """Old names can be imported from now on; installing twice changes nothing."""
    if not any(isinstance(finder, MovedFinder) for finder in sys.meta_path):
        sys.meta_path.append(MovedFinder())
