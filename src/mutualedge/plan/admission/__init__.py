"""Whether one more promise or job fits on a processor without breaking what is promised already.

One runner process per processor runs jobs one at a time, to completion; whenever it is free it
takes the released job with the earliest absolute deadline (non-preemptive EDF), and `Processor`
follows that. The tests of promises and jobs also know processors on which an earlier deadline
interrupts the running job: the same demand, and nothing that blocks. Each follows its execution,
and answers "no" when its bounds leave it unsure.
"""

from mutualedge.plan.admission.booking import Booked, LeaseSlots, NotBooked
from mutualedge.plan.admission.demand import Admitted, NotAdmitted
from mutualedge.plan.admission.jobs import check_job
from mutualedge.plan.admission.processor import NotReleased, Processor, Released
from mutualedge.plan.admission.reservations import (
    Reservation,
    ReservationProfile,
    check_reservation,
    profile_reservations,
)
from mutualedge.plan.admission.state import Job, ProcessorSnapshot, Running

__all__ = [
    "Admitted",
    "Booked",
    "Job",
    "LeaseSlots",
    "NotAdmitted",
    "NotBooked",
    "NotReleased",
    "Processor",
    "ProcessorSnapshot",
    "Released",
    "Reservation",
    "ReservationProfile",
    "Running",
    "check_job",
    "check_reservation",
    "profile_reservations",
]
