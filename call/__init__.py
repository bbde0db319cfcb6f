"""The call itself: WebRTC transport, signalling, capture, playback and the demo (layer 3).

The only clocks, sockets, threads and processes of the project live here. Data flow of one peer::

    media process                                         transport process (uvloop)
    source -> Sender  -> outbox --+   socket pair   +-->  control, key, motion  --> UDP
    sink  <- Receiver <- inbox  <-+  (call.link)    +<--  data channels         <-- UDP
"""
