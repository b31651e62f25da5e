# The phone as the report describes it.
.class public final Lapp/edgelm/Phone;
.super Ljava/lang/Object;
.source "Phone.smali"

.method static describe(Landroid/app/Activity;)Lorg/json/JSONObject;
    .locals 4
    .annotation system Ldalvik/annotation/Throws;
        value = { Lorg/json/JSONException; }
    .end annotation

    new-instance v0, Lorg/json/JSONObject;
    invoke-direct {v0}, Lorg/json/JSONObject;-><init>()V
    const-string v1, "maker"
    sget-object v2, Landroid/os/Build;->MANUFACTURER:Ljava/lang/String;
    invoke-virtual {v0, v1, v2}, Lorg/json/JSONObject;->put(Ljava/lang/String;Ljava/lang/Object;)Lorg/json/JSONObject;
    const-string v1, "model"
    sget-object v2, Landroid/os/Build;->MODEL:Ljava/lang/String;
    invoke-virtual {v0, v1, v2}, Lorg/json/JSONObject;->put(Ljava/lang/String;Ljava/lang/Object;)Lorg/json/JSONObject;
    const-string v1, "hardware"
    sget-object v2, Landroid/os/Build;->HARDWARE:Ljava/lang/String;
    invoke-virtual {v0, v1, v2}, Lorg/json/JSONObject;->put(Ljava/lang/String;Ljava/lang/Object;)Lorg/json/JSONObject;
    const-string v1, "android"
    sget-object v2, Landroid/os/Build$VERSION;->RELEASE:Ljava/lang/String;
    invoke-virtual {v0, v1, v2}, Lorg/json/JSONObject;->put(Ljava/lang/String;Ljava/lang/Object;)Lorg/json/JSONObject;
    const-string v1, "sdk"
    sget v2, Landroid/os/Build$VERSION;->SDK_INT:I
    invoke-virtual {v0, v1, v2}, Lorg/json/JSONObject;->put(Ljava/lang/String;I)Lorg/json/JSONObject;
    const-string v1, "cores"
    invoke-static {}, Ljava/lang/Runtime;->getRuntime()Ljava/lang/Runtime;
    move-result-object v2
    invoke-virtual {v2}, Ljava/lang/Runtime;->availableProcessors()I
    move-result v2
    invoke-virtual {v0, v1, v2}, Lorg/json/JSONObject;->put(Ljava/lang/String;I)Lorg/json/JSONObject;

    # Whether the last page was lost is told once.
    const-string v1, "lost"
    sget-boolean v2, Lapp/edgelm/Main;->lost:Z
    invoke-virtual {v0, v1, v2}, Lorg/json/JSONObject;->put(Ljava/lang/String;Z)Lorg/json/JSONObject;
    const/4 v2, 0x0
    sput-boolean v2, Lapp/edgelm/Main;->lost:Z

    const-string v1, "memory"
    invoke-static {p0}, Lapp/edgelm/Phone;->memory(Landroid/app/Activity;)Lorg/json/JSONObject;
    move-result-object v2
    invoke-virtual {v0, v1, v2}, Lorg/json/JSONObject;->put(Ljava/lang/String;Ljava/lang/Object;)Lorg/json/JSONObject;
    const-string v1, "battery"
    invoke-static {p0}, Lapp/edgelm/Phone;->battery(Landroid/app/Activity;)Lorg/json/JSONObject;
    move-result-object v2
    invoke-virtual {v0, v1, v2}, Lorg/json/JSONObject;->put(Ljava/lang/String;Ljava/lang/Object;)Lorg/json/JSONObject;

    const-string v1, "power"
    invoke-virtual {p0, v1}, Landroid/app/Activity;->getSystemService(Ljava/lang/String;)Ljava/lang/Object;
    move-result-object v2
    check-cast v2, Landroid/os/PowerManager;
    const-string v1, "power_save"
    invoke-virtual {v2}, Landroid/os/PowerManager;->isPowerSaveMode()Z
    move-result v3
    invoke-virtual {v0, v1, v3}, Lorg/json/JSONObject;->put(Ljava/lang/String;Z)Lorg/json/JSONObject;

    # 0 is cool, 3 severe, 6 the phone shuts down; Android tells it since version 10 (29).
    sget v3, Landroid/os/Build$VERSION;->SDK_INT:I
    const/16 v1, 0x1d
    if-lt v3, v1, :untold
    const-string v1, "thermal"
    invoke-virtual {v2}, Landroid/os/PowerManager;->getCurrentThermalStatus()I
    move-result v3
    invoke-virtual {v0, v1, v3}, Lorg/json/JSONObject;->put(Ljava/lang/String;I)Lorg/json/JSONObject;
    :untold
    return-object v0
.end method

# Bytes of memory: in all, free for apps now, and below which Android ends other apps.
.method private static memory(Landroid/app/Activity;)Lorg/json/JSONObject;
    .locals 5
    .annotation system Ldalvik/annotation/Throws;
        value = { Lorg/json/JSONException; }
    .end annotation

    const-string v0, "activity"
    invoke-virtual {p0, v0}, Landroid/app/Activity;->getSystemService(Ljava/lang/String;)Ljava/lang/Object;
    move-result-object v0
    check-cast v0, Landroid/app/ActivityManager;
    new-instance v1, Landroid/app/ActivityManager$MemoryInfo;
    invoke-direct {v1}, Landroid/app/ActivityManager$MemoryInfo;-><init>()V
    invoke-virtual {v0, v1}, Landroid/app/ActivityManager;->getMemoryInfo(Landroid/app/ActivityManager$MemoryInfo;)V

    new-instance v0, Lorg/json/JSONObject;
    invoke-direct {v0}, Lorg/json/JSONObject;-><init>()V
    const-string v2, "total"
    iget-wide v3, v1, Landroid/app/ActivityManager$MemoryInfo;->totalMem:J
    invoke-virtual {v0, v2, v3, v4}, Lorg/json/JSONObject;->put(Ljava/lang/String;J)Lorg/json/JSONObject;
    const-string v2, "available"
    iget-wide v3, v1, Landroid/app/ActivityManager$MemoryInfo;->availMem:J
    invoke-virtual {v0, v2, v3, v4}, Lorg/json/JSONObject;->put(Ljava/lang/String;J)Lorg/json/JSONObject;
    const-string v2, "threshold"
    iget-wide v3, v1, Landroid/app/ActivityManager$MemoryInfo;->threshold:J
    invoke-virtual {v0, v2, v3, v4}, Lorg/json/JSONObject;->put(Ljava/lang/String;J)Lorg/json/JSONObject;
    return-object v0
.end method

# The battery's temperature in tenths of a degree (Celsius), its level in percent, and whether it is being charged.
.method private static battery(Landroid/app/Activity;)Lorg/json/JSONObject;
    .locals 5
    .annotation system Ldalvik/annotation/Throws;
        value = { Lorg/json/JSONException; }
    .end annotation

    # This broadcast is kept by Android: asking for it without a receiver gives the last one.
    new-instance v0, Landroid/content/IntentFilter;
    const-string v1, "android.intent.action.BATTERY_CHANGED"
    invoke-direct {v0, v1}, Landroid/content/IntentFilter;-><init>(Ljava/lang/String;)V
    const/4 v1, 0x0
    invoke-virtual {p0, v1, v0}, Landroid/app/Activity;->registerReceiver(Landroid/content/BroadcastReceiver;Landroid/content/IntentFilter;)Landroid/content/Intent;
    move-result-object v0

    new-instance v1, Lorg/json/JSONObject;
    invoke-direct {v1}, Lorg/json/JSONObject;-><init>()V
    if-eqz v0, :unknown
    const/4 v3, -0x1
    const-string v2, "temperature"
    invoke-virtual {v0, v2, v3}, Landroid/content/Intent;->getIntExtra(Ljava/lang/String;I)I
    move-result v4
    invoke-virtual {v1, v2, v4}, Lorg/json/JSONObject;->put(Ljava/lang/String;I)Lorg/json/JSONObject;
    const-string v2, "level"
    invoke-virtual {v0, v2, v3}, Landroid/content/Intent;->getIntExtra(Ljava/lang/String;I)I
    move-result v4
    invoke-virtual {v1, v2, v4}, Lorg/json/JSONObject;->put(Ljava/lang/String;I)Lorg/json/JSONObject;
    const-string v2, "plugged"
    invoke-virtual {v0, v2, v3}, Landroid/content/Intent;->getIntExtra(Ljava/lang/String;I)I
    move-result v4
    invoke-virtual {v1, v2, v4}, Lorg/json/JSONObject;->put(Ljava/lang/String;I)Lorg/json/JSONObject;
    :unknown
    return-object v1
.end method
