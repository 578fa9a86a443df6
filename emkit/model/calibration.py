"""What a step of the scan and a pixel of the detector are in units. Axis order is (sy, sx, ky, kx)."""

from dataclasses import dataclass
from math import isfinite, sqrt

from emkit.errors import ParameterError

PLANCK_KEV_NM = 1.239841984  # Planck's constant times the speed of light
REST_KEV = 510.99895  # energy at rest of an electron


@dataclass(frozen=True)
class Calibration:
    """The distance of scan positions (nm), the angle between pixels of the detector (mrad), the energy of the electrons (keV)."""

    step_nm: float
    pixel_mrad: float
    energy_kev: float = 300.0

    def __post_init__(self) -> None:
        for name in ("step_nm", "pixel_mrad", "energy_kev"):
            if not (isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ParameterError(f"{name}: found {getattr(self, name):g}, needed a number above 0.")

    @property
    def wavelength_nm(self) -> float:
        """Of the electrons, with relativity.

        >>> round(Calibration(0.1, 1.0, energy_kev=300).wavelength_nm, 6)
        0.001969
        """
        return PLANCK_KEV_NM / sqrt(self.energy_kev * (self.energy_kev + 2 * REST_KEV))
