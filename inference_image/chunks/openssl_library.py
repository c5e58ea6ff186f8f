"""Owns which functions of the system's OpenSSL are called, and that it is the one Python's ssl module uses. Knows no connection.

All of them belong to OpenSSL's stable interface since 1.1.0: https://docs.openssl.org/3.0/man3/.
"""

from __future__ import annotations

import ctypes
import ssl
import sys
from collections.abc import Mapping
from ctypes import c_char_p, c_int, c_long, c_size_t, c_ulong, c_void_p
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

from inference_image import contract

_LIBRARIES: Final = ("libssl.so.3", "libcrypto.so.3")
_SIGNATURES: Final[dict[str, tuple[Any, ...]]] = {
    "TLS_client_method": (c_void_p,),
    "SSL_CTX_new": (c_void_p, c_void_p),
    "SSL_CTX_free": (None, c_void_p),
    "SSL_CTX_ctrl": (c_long, c_void_p, c_int, c_long, c_void_p),
    "SSL_CTX_set_ciphersuites": (c_int, c_void_p, c_char_p),
    "SSL_CTX_set_cipher_list": (c_int, c_void_p, c_char_p),
    "SSL_CTX_set_default_read_buffer_len": (None, c_void_p, c_size_t),
    "SSL_CTX_set_verify": (None, c_void_p, c_int, c_void_p),
    "SSL_CTX_load_verify_locations": (c_int, c_void_p, c_char_p, c_char_p),
    "SSL_CTX_set_default_verify_paths": (c_int, c_void_p),
    "SSL_new": (c_void_p, c_void_p),
    "SSL_free": (None, c_void_p),
    "SSL_ctrl": (c_long, c_void_p, c_int, c_long, c_void_p),
    "SSL_set_fd": (c_int, c_void_p, c_int),
    "SSL_set1_host": (c_int, c_void_p, c_char_p),
    "SSL_get0_param": (c_void_p, c_void_p),
    "SSL_connect": (c_int, c_void_p),
    "SSL_read": (c_int, c_void_p, c_void_p, c_int),
    "SSL_write": (c_int, c_void_p, c_char_p, c_int),
    "SSL_get_error": (c_int, c_void_p, c_int),
    "SSL_get_verify_result": (c_long, c_void_p),
    "BIO_f_ssl": (c_void_p,),
}
_CRYPTO_SIGNATURES: Final[dict[str, tuple[Any, ...]]] = {
    "OpenSSL_version": (c_char_p, c_int),
    "X509_VERIFY_PARAM_set1_ip_asc": (c_int, c_void_p, c_char_p),
    "X509_verify_cert_error_string": (c_char_p, c_long),
    "ERR_clear_error": (None,),
    "ERR_peek_last_error": (c_ulong,),
    "ERR_error_string_n": (None, c_ulong, c_void_p, c_size_t),
    "BIO_f_buffer": (c_void_p,),
    "BIO_new": (c_void_p, c_void_p),
    "BIO_ctrl": (c_long, c_void_p, c_int, c_long, c_void_p),
    "BIO_push": (c_void_p, c_void_p, c_void_p),
    "BIO_free_all": (None, c_void_p),
    "BIO_read": (c_int, c_void_p, c_void_p, c_int),
    "BIO_test_flags": (c_int, c_void_p, c_int),
}


@cache
def library() -> Any:
    """OpenSSL's functions by name, or None where the library of Python's ssl module can't be called."""
    if not sys.platform.startswith("linux") or ssl.OPENSSL_VERSION_INFO[0] != 3:
        return None

    made = SimpleNamespace()
    try:
        for name, signatures in zip(_LIBRARIES, (_SIGNATURES, _CRYPTO_SIGNATURES), strict=True):
            loaded = ctypes.CDLL(name, use_errno=True)
            for function, (result, *arguments) in signatures.items():
                found = getattr(loaded, function)
                found.restype, found.argtypes = result, arguments
                setattr(made, function, found)
    except (OSError, AttributeError):
        return None
    # another build than Python's, however near: its faults and its authorities would not be those that were tested
    return made if made.OpenSSL_version(0).decode() == ssl.OPENSSL_VERSION else None


def tls_in_python(environ: Mapping[str, str]) -> bool:
    """Is TLS left to Python's ssl module, because that was asked for or nothing else is here?"""
    return environ.get(contract.ENV_TLS, "").strip().lower() == contract.TLS_PYTHON or library() is None


def last_words(lib: Any) -> str:
    """OpenSSL's own for the last failure of this thread."""
    text = ctypes.create_string_buffer(256)
    code = lib.ERR_peek_last_error()
    if not code:
        return "no reason given"
    lib.ERR_error_string_n(code, text, len(text))
    return text.value.decode("utf-8", "replace").rpartition("::")[2] or "no reason given"
