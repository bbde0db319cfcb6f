# See driver.pyi.
