"""Programs of the processes that `bench_inference` lets take turns: predict a case at each line of the input."""

_COMMON = """
import json, resource, sys, time
import torch
job = torch.load(sys.argv[1])
torch.set_num_threads(job["threads"])
seconds, passes, entered = [0.0], [0], [0.0]

def enter(*_):
    entered[0] = time.process_time()

def leave(_, inputs, __):
    seconds[0] += time.process_time() - entered[0]
    passes[0] += len(inputs[0])

def serve(network, predict):
    network.register_forward_pre_hook(enter)
    network.register_forward_hook(leave)
    for _ in sys.stdin:
        seconds[0], passes[0] = 0.0, 0
        wall, cpu = time.perf_counter(), time.process_time()
        predict()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 if sys.platform == "darwin" else 1024)
        found = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "network": seconds[0]}
        print(json.dumps(found | {"passes": passes[0], "peak": peak}), flush=True)
"""

PEDSEG = (
    _COMMON
    + """
from pathlib import Path
from pedseg.cases import find_cases
from pedseg.inference import Predictor, Settings, predict_cases
from pedseg.labels import get_convention
settings = Settings(mirror=job["mirror"], precision=job["precision"])
predictor = Predictor([Path(job["checkpoint"])], device=torch.device("cpu"), settings=settings)
cases = find_cases(Path(job["input"]), cohort="adult", labelled=False).cases

def predict():
    convention = get_convention("msd_task01")  # writes as nnU-Net does for the data set of the other process
    problems = predict_cases(predictor, cases, Path(job["output"]), convention=convention, overwrite=True)
    assert not problems, problems

serve(predictor.networks[0], predict)
"""
)

NNUNET = (
    _COMMON
    + """
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
manager = PlansManager(job["plans"])
configuration = manager.get_configuration("3d_fullres")
network = get_network_from_plans(configuration.network_arch_class_name, configuration.network_arch_init_kwargs,
    configuration.network_arch_init_kwargs_req_import, 4, 3, deep_supervision=False)
network.load_state_dict(job["weights"], strict=False)
predictor = nnUNetPredictor(use_mirroring=job["mirror"], perform_everything_on_device=False,
    device=torch.device("cpu"), allow_tqdm=False)
predictor.manual_initialization(network, manager, configuration, [network.state_dict()], job["dataset"],
    "nnUNetTrainer", (0, 1, 2))

def predict():
    predictor.predict_from_files_sequential([job["images"]], [job["output"] + "/case"])

serve(network, predict)
"""
)
